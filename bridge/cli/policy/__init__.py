"""`bridge policy`: what it reads, decides, compares and says."""
