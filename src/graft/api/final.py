"""The final model: a finished job, or a sweep's winner, trained again on every labeled image."""

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from graft.api.answer import Answer, JobResult
from graft.api.jobs import execute
from graft.api.overrides import Overrides, as_words, checked, named
from graft.errors import GraftError

if TYPE_CHECKING:
    from graft.api.model import Model


def refit(
    found: Answer | JobResult | str | Path,
    trials: int | None = None,
    overrides: Overrides = (),
    modules: Sequence[str] = (),
    *,
    name: str | None = None,
    folder: str | Path | None = None,
    verbose: bool = False,
) -> "Model":
    """Train a job again on every labeled image, test images included, and return its model; what has finished is kept.

    It is for use: no image is left that could measure its own accuracy, and `accuracy` of the job is its estimate.

    Args:
        found: an answer, whose best job is meant, one of its jobs, or the folder of a job or a sweep.
        trials: number of networks, whose probabilities are averaged; None: as many as the job has trials.
        overrides: of the keys that a refit takes, such as `{"trainer": "ddp"}`.
        modules: packages of your own whose networks may be built.
        name: of the folder inside `outputs/`; None: that of the job or sweep with `-refit` behind it.
        folder: to write into, in place of one inside `outputs/`.
        verbose: whether to show what the command line shows.

    Raises:
        GraftError: something that the user can correct, or no trial finished.

    Example:
        >>> import graft
        >>> answer = graft.run({"source": "scratch", "trials": 2, "epochs": 1}, name="small")
        >>> model = graft.refit(answer, trials=1)
        >>> model.trained.folder.name
        'small-refit'
    """
    if not isinstance(found, Answer | JobResult | str | Path):
        raise GraftError(
            f"refit takes an answer, one of its jobs, or the folder of a job or a sweep, got {type(found).__name__}; "
            "try graft.refit(answer)"
        )
    if isinstance(found, Answer):
        if len(found.folders) != 1:
            raise GraftError(
                "the answer is of several folders; try graft.refit(answer.best), or the folder of one sweep"
            )
        (run,) = found.folders
    else:
        run = found.folder if isinstance(found, JobResult) else Path(found)
    given = {"run": run, "refit": "all", "trials": trials}
    words = as_words({key: value for key, value in given.items() if value is not None})
    words = checked(words + named(name) + as_words(overrides))
    written = execute(words, False, folder, verbose)
    from graft.api.model import Model
    from graft.inference.load import load  # imports torch

    return Model(load(written, modules))
