"""Layers, heads, the splitting of a network into stages, and weights by their names."""
