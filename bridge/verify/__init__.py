"""L1: the only maker of `VerifiedIdentity`. One file per kind of evidence."""
