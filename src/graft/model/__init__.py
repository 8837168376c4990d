"""Backbones as stages, heads, and published weights."""
