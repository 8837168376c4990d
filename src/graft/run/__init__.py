"""One configuration from the checked plan to its files, and its processes."""
