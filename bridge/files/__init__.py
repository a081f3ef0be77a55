"""L0: what a path holds now: bounded reads, and fingerprints that see atomic symlink swaps."""
