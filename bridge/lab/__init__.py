"""A SPIFFE authority for development and tests: real SVIDs, a real Workload API, and faults on demand.

Nothing between our own client code and the lab is mocked: it signs with its own keys and speaks gRPC over
a Unix socket and HTTPS over TCP. It attests nobody: whoever opens a socket gets the identities it serves.
"""
