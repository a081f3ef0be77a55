"""L0: JSON and JOSE from outside, strictly. The only importer of joserfc."""
