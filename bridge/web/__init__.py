"""L4: Flask. Parse once, call one thing, render. `errors.py` is the only map from domain errors to OAuth errors."""
