"""What the trials of a job got wrong: confusions, classes, mistakes, calibration; NumPy and pandas, never torch."""
