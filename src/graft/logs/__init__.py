"""What loggers show of a job besides its curves: training images, the answer's numbers, texts and pictures."""
