"""L1: trust-domain policies. TOML documents are parsed, compiled into an index, and asked: `decide(subject, ask)`."""
