"""L2: verify, decide, name, ensure: the one way in which a client record comes into being."""
