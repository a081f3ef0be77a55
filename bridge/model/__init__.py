"""L0: the nouns of the service. Frozen, pure, standard library only.

Raw input is `Evidence`; only `verify/` makes a `VerifiedIdentity`, only `policy/` makes `Terms`,
only the registrar makes a `Registration`, only `grants/` makes tokens.
"""
