"""A SPIFFE authority for development and tests: the real Workload API over a socket, and broken SVIDs on demand."""
