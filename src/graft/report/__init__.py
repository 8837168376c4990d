"""From result files to tables, sentences and pictures; pandas and SciPy, never torch."""
