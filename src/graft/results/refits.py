"""What the result of a refit says: a job that was trained again on every labeled image, so that none is left to test.

Do not import pandas here: predictions start without it.
"""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from graft.job_folder import read_result
from graft.nouns import percent


def refit_of(folder: Path) -> dict[str, Any] | None:
    """Return the content of the result in a refit's folder; None if the folder is no refit's."""
    result = read_result(folder)
    return result if result is not None and is_refit(result) else None


def is_refit(result: Mapping[str, Any]) -> bool:
    """Return whether the content of a `result.json` is a refit's."""
    return isinstance(result.get("refit"), Mapping)


def in_words(result: Mapping[str, Any]) -> list[str]:
    """Return what a refit was trained on, and whose accuracy is known in place of its own.

    Args:
        result: the content of its `result.json`.
    """
    refit, images = result["refit"], result.get("images") or {}
    known = refit.get("estimate") or {}
    count = sum(trial.get("error") is None for trial in result.get("trials") or [])
    each = f"{count} networks, each" if count != 1 else "one network,"
    lines = [
        f"a refit of {refit.get('job')}: {each} trained on all {images.get('small', 0):,} labeled images of its "
        "classes, test images included; none is left that could measure its own accuracy"
    ]
    if known.get("mean") is None:
        return lines
    lines.append(f"its accuracy is the estimate of {known.get('of')}: {_estimate(known)}")
    if known.get("corrected") is not None:
        lines.append(
            f"corrected for its choice among {known.get('jobs')} jobs by the images that it was measured on: "
            f"{percent(known['corrected'])} %"
        )
    elif known.get("chosen_by"):
        lines.append(
            f"it was chosen among {known.get('jobs')} jobs by {known['chosen_by']}, on the images that it was measured "
            "on, and is not corrected for that"
        )
    if known.get("views"):
        lines.append(
            f"the estimate is of the mean over {known['views']} augmented views of each image; the refit sees each once"
        )
    by_class = (images.get("by_class") or {}).get("small") or {}
    if known.get("small_per_class") and len(set(by_class.values())) > 1:
        counts = ", ".join(f"{name} {count:,}" for name, count in by_class.items())
        lines.append(f"its classes have unequal numbers of images ({counts}); the estimate is of equal ones")
    return lines


def _estimate(known: Mapping[str, Any]) -> str:
    """Return an estimate with its interval, and the models that it is of."""
    interval = ""
    if known.get("ci95"):
        low, high = map(percent, known["ci95"])
        interval = f" ({low} to {high} % {known.get('ci95_holds')}, 95 %)"
    small, per_class, trials = known.get("small"), known.get("small_per_class"), known.get("trials")
    trained = f"{per_class:,} images a class" if per_class else f"{small:,} images" if small else "fewer images"
    of = f"the mean of {trials} single models" if trials != 1 else "one model"
    return f"{percent(known['mean'])} %{interval}, {of} trained on {trained}"
