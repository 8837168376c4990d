"""Backbones as stages: Graft's own networks, those of torchvision and timm, and their published weights."""
