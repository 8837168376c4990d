"""The Python interface behind `import graft`: data sets, runs, sweeps and answers without a command line."""
