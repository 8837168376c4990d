"""Backbones as stages, and published weights."""
