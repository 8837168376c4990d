"""The terminal that reports are printed on."""

import sys

from rich.console import Console

from graft.process import is_quiet


def terminal() -> Console:
    """Return the terminal, or 120 columns where there is none; one that prints nothing in a quiet process."""
    # No markup: a job's name may contain brackets or colons, dataset.small=[cat,dog].
    width = None if sys.stdout.isatty() else 120
    return Console(width=width, markup=False, emoji=False, highlight=False, quiet=is_quiet())
