"""Once-for-all networks: search space, leading-block slicing, pruning by L1."""
