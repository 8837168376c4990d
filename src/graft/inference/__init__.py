"""A finished job as a model: loading its folder, and what it says of images."""
