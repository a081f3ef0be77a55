"""L1: token signing keys, their sealing and rotation, the JWKS, and access tokens."""
