"""Images, which of them each trial sees, and how they are read, scaled, augmented and batched."""
