"""`bridge token`: a workload gets a token, once or always anew."""
