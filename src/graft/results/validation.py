"""What a job comes to for a search: its mean validation accuracy."""

import math
from pathlib import Path
from statistics import fmean

from graft.job_folder import PRUNED, read_result


def val_accuracy(folder: Path) -> float | None:
    """Return a job's mean validation accuracy in [0, 1], NaN if it was pruned, None if it failed or has not run."""
    result = read_result(folder)
    if result is not None:
        return fmean(trial["val_accuracy"] for trial in result["trials"] if "error" not in trial)
    return math.nan if (folder / PRUNED).exists() else None
