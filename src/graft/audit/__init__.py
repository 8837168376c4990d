"""What is in a data set before anything trains: files, copies, labels that look wrong, outliers and shortcuts."""
