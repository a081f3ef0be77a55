"""Says of one SVID, rule by rule, what the service makes of it: its own checks walked, its own policy and store asked.

Reads only. Nothing that it says of an SVID is verified unless it says so.
"""
