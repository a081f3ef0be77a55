"""Tells one receiver of changes of client records: what a message says, how it is signed, and how it is delivered."""
