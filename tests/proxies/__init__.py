"""The service behind real proxies, as `spire-dev/proxies/` configures them (`make test-proxies`)."""
