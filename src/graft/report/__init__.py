"""From result files to tables and sentences; pandas and SciPy, never torch."""
