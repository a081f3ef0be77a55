"""L1: metrics and the structured log."""
