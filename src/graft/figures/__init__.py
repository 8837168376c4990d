"""The pictures of jobs and of their comparison; matplotlib, never torch."""
