"""Many jobs: the checks before the first one, grids, searches, and the processes that run them."""
