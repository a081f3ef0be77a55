"""L4: sockets, TLS, event loop, worker processes: whole requests in, whole answers out."""
