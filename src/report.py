"""Rank the jobs that are found below some folders, from their result files alone: leaderboard, answer and pictures."""

import argparse
import os
import sys
from pathlib import Path

from graft.errors import GraftError


def main() -> None:
    """Read the command line, and report."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("folders", nargs="+", type=Path, metavar="DIR", help="a job, a sweep, or a folder of such")
    parser.add_argument("--baseline", metavar="KEY:VALUE", help="compare with it, too: source:scratch")
    parser.add_argument("--output", type=Path, metavar="DIR", help="written into; by default what the DIRs share")
    words = parser.parse_args()
    from graft.report.show import show_jobs  # pandas and matplotlib take a second: not before the words are understood

    try:
        output = words.output or Path(os.path.commonpath([folder.resolve() for folder in words.folders]))
        show_jobs(words.folders, output, words.baseline)
    except (GraftError, OSError) as error:
        sys.exit(str(error))


if __name__ == "__main__":
    main()
