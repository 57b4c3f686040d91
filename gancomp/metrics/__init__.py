"""Distances between sets of pictures: Inception features, Fréchet and kernel distance, L1."""
