"""L3: from a registration to a token, and what may be asked about tokens afterwards."""
