"""What the entry points besides `src/train.py` and `src/report.py` do, once their words are read."""
