"""The folders that jobs write into: they can be written, have no other job's result, and the report that is asked for.

Hydra calls this before anything heavy is imported: do not import torch or pandas here.
"""

import json
from collections.abc import Iterable, Sequence
from pathlib import Path

from omegaconf import DictConfig

from graft.config.build import to_plain
from graft.config.identity import check_existing_result
from graft.errors import GraftError
from graft.files import make_folder, write_text
from graft.job_folder import PLANNED, RESULT, read_result


def check_folder(cfg: DictConfig, overrides: Sequence[str], folder: Path) -> None:
    """Refuse to overwrite another configuration's result.

    Raises:
        GraftError: names the keys in which the results differ.
    """
    typed = {override.partition("=")[0].lstrip("+~") for override in overrides}
    check_existing_result(to_plain(cfg), folder, lambda: _images(cfg), typed)


def _images(cfg: DictConfig) -> str:
    """Return the fingerprint of a job's images."""
    from graft.run.make_plan import planned_images  # torch takes seconds: only if a result has another dataset.root

    return planned_images(cfg).fingerprint


def make_writable(*folders: Path) -> None:
    """Make the folders that a run writes into, and write a temporary file into each.

    Raises:
        GraftError: one of them cannot be made or written into.
    """
    for folder in folders:
        try:
            make_folder(folder)
        except OSError as error:
            raise GraftError(
                f"cannot write to {folder} ({error.strerror}), seen from {Path.cwd()}; try another working directory, "
                "or hydra.run.dir=DIR and cache=DIR"
            ) from None


def write_planned(config: DictConfig, jobs: Iterable[DictConfig]) -> None:
    """Write into a sweep's folder which jobs a grid will have, so that a report can name those that are missing.

    A search proposes its jobs one after another: they are not known, and an earlier grid's list is removed.
    """
    path = Path(config.hydra.sweep.dir) / PLANNED
    if config.sweep is not None:
        path.unlink(missing_ok=True)
        return
    names = list(dict.fromkeys(str(job.hydra.sweep.subdir) for job in jobs))
    write_text(path, json.dumps({"jobs": names}, indent=2) + "\n")


def renew_report(folder: Path, config: DictConfig, alone: bool = False) -> None:
    """Give finished jobs the `report` that is typed now; it is no part of a job, so that they do not run again for it.

    Tables, the rounds of trials=auto and the choice of a winner read it from the jobs. The folder is a sweep's, or that
    of one job `alone`, inside which there may be those of others.
    """
    report = to_plain(config.report)
    for path in (folder / RESULT, *(() if alone else folder.glob(f"*/{RESULT}"))):
        result = read_result(path.parent)
        if result is not None and "config" in result and result["config"].get("report") != report:
            content = {**result, "config": {**result["config"], "report": report}}
            write_text(path, json.dumps(content, indent=2, allow_nan=False) + "\n")
