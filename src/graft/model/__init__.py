"""Layers, the splitting of a network into stages, low-rank updates, and weights by their names."""
