"""Many jobs: the checks before the first one, grids, searches, and the processes that run them.

Here `config` is a composed configuration with Hydra's own part, `hydra`, and `cfg` is one without.
"""
