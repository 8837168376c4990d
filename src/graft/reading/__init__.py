"""How class folders and files of images become labels and pixels, and an account of every file."""
