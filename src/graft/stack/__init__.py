"""The trial axis: networks of one architecture that take each step together."""
