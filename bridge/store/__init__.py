"""L1: what survives. Ports of atomic verbs, one set of statements, and adapters.

A method is one atomic verb: no caller reads, thinks and writes. Every method may raise `Unavailable`
(STORE_UNAVAILABLE) when the database does not answer in time, and then nothing was written.
"""
