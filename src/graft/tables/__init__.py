"""Tables of images, and data sets of Hugging Face, read as lists of files with classes, parts and groups."""
