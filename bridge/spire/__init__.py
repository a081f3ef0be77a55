"""L1: trust bundles from files and from the SPIFFE Workload API, and the book that keeps the last good ones."""
