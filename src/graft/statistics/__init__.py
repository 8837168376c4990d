"""Means of crossed trials and images: their intervals, differences and tests; NumPy and SciPy on plain arrays."""
