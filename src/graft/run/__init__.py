"""One configuration from the checked plan to its files and processes; sweeps, launchers and search."""
