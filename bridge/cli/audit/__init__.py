"""`bridge audit`: reading, following, verifying and exporting the log."""
