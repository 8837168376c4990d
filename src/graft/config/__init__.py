"""The knobs and their rules, how objects are built from YAML, and what identifies a job."""
