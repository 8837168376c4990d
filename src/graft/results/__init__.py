"""The files of finished jobs, read and checked: results, outcomes of images, settings; never torch."""
