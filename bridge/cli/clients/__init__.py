"""`bridge clients`: the records, and what an operator may do with them."""
