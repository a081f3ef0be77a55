"""The service on a real SPIRE: server and agent as plain processes, nothing between them and us replaced."""
