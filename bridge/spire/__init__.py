"""L1: trust bundles from their sources (files, the Workload API), and the Workload API's client side.

Owns: bundle parsing, one book of the bundles in force, the threads that keep it. The only importer of
`spiffe` and, beside the lab, of gRPC.
"""
