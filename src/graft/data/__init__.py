"""Images, which of them each trial sees, and how they are scaled, augmented and batched."""
