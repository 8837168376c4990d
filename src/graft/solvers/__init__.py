"""Layers that are solved instead of trained: arrays in, weights out."""
