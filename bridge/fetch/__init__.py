"""Outbound fetches: one guarded way to read a small document from an https URL, and how much of that at once."""
