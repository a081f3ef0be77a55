"""The `bridge` command: one module per command group."""
