"""Graft: which transfer works best on a small image data set, and is the difference real?"""

__version__ = "0.1.0"
