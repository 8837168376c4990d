"""Jobs and sweeps from Python: the same folders, identities and caches as the command line's."""

import warnings
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from hydra.types import RunMode
from omegaconf import DictConfig
from pytorch_lightning.utilities.seed import isolate_rng

from graft.api.answer import Answer, answer_of
from graft.api.data import Data
from graft.api.job_launcher import InThisProcess, run_alone
from graft.api.overrides import Overrides, as_words, checked, is_sweep, named
from graft.api.session import session
from graft.errors import GraftError
from graft.page.show import show_sweep
from graft.process import usual_torch
from graft.run.page_pictures import page_pictures
from graft.sweeps.check_sweep import check_run, check_sweep
from graft.sweeps.grid import ComposedJobs, keep_composed, launch_only, run_grid
from graft.sweeps.job_folders import renew_report, write_planned
from graft.sweeps.launcher import locked_sweep_folder, runs_in_this_process
from graft.sweeps.log_sweep import log_sweep

LAUNCHER = "hydra/launcher=basic"


def run(
    overrides: Overrides = (), *, name: str | None = None, folder: str | Path | None = None, verbose: bool = False
) -> Answer:
    """Run one configuration or, with lists of values, a sweep; what has finished, here or on a command line, is kept.

    Args:
        overrides: what differs from the defaults: `["head=dense512", "trials=5"]`, or `{"head": "dense512"}`. A list
            in a dict is a sweep of its values, a tuple is one value: a list.
        name: of the folder inside `outputs/`; None: as on a command line, from the overrides.
        folder: to write into, in place of one inside `outputs/`.
        verbose: whether to show what the command line shows.

    Returns:
        The answer; of one configuration, `answer.best` is its job.

    Raises:
        GraftError: something that the user can correct, or no trial finished.

    Example:
        >>> import graft
        >>> answer = graft.run({"source": "scratch", "trials": 3, "epochs": 2}, name="example")
        >>> answer.best.parameters["total"]
        26821
    """
    words = checked(as_words(overrides) + named(name))
    with session(words, verbose):
        sweep = is_sweep(words)
    return start(words, sweep, folder, verbose)


def compare(
    data: Data | None = None,
    backbone: str | Sequence[str] | None = None,
    heads: str | Sequence[str] | None = None,
    trials: int | str | None = None,
    overrides: Overrides = (),
    **settings: Any,
) -> Answer:
    """Compare configurations: a sweep over all combinations of the listed values, ranked by all their trials.

    Args:
        data: what `image_folder`, `table` or `arrays` returns; None: the bundled digits.
        backbone: names of options in conf/backbone/. Their published weights are used, unless overrides have a source.
        heads: names of options in conf/head/.
        trials: number of trials; `auto`: as many as the answer needs.
        overrides: of any other key, as `run` takes them.
        settings: `name`, `folder` and `verbose`, as `run` takes them.

    Raises:
        GraftError: something that the user can correct, or no trial of any job finished.
        TypeError: a setting has another name.

    Example:
        >>> import graft
        >>> answer = graft.compare(heads=["plain", "logistic"], trials=3, overrides={"epochs": 2, "source.epochs": 1})
        >>> len(answer.jobs)  # the third one is solved at once: what heads that train have to beat
        3
    """
    unknown = settings.keys() - {"name", "folder", "verbose"}
    if unknown:
        raise TypeError(f"compare() has no argument {min(unknown)}; other keys are overrides={{{min(unknown)!r}: ...}}")
    if not isinstance(data, Data | None):
        raise GraftError(
            f"data must be what graft.image_folder, table or arrays returns, got {type(data).__name__}; try "
            'graft.image_folder("photos"), or graft.arrays(images, labels)'
        )
    typed = as_words(overrides)
    asked: dict[str, object] = {"backbone": backbone, "head": heads, "trials": trials}
    words = data.words() if data is not None else []
    words += as_words({key: _values(value) for key, value in asked.items() if value is not None})
    if backbone is not None and not any(word.startswith(("source=", "experiment=")) for word in typed):
        words.append("source=imagenet")
    words = checked(words + typed + named(settings.get("name")))
    return start(words, True, settings.get("folder"), settings.get("verbose", False))


def _values(value: object) -> object:
    return list(value) if isinstance(value, Sequence) and not isinstance(value, str) else value


def start(words: list[str], sweep: bool, folder: str | Path | None = None, verbose: bool = False) -> Answer:
    """Run one job or a sweep, and return its answer; its arguments are those of `run`."""
    answer = answer_of([execute(words, sweep, folder, verbose)])
    for name, reason in (answer.failed | answer.skipped).items():
        warnings.warn(f"{name}: {reason}", stacklevel=3)
    return answer


def execute(words: list[str], sweep: bool, folder: str | Path | None, verbose: bool) -> Path:
    """Run one job or a sweep, and return its folder; its arguments are those of `run`."""
    launcher = next((word for word in words if word.startswith("hydra/launcher=")), LAUNCHER)
    if launcher != LAUNCHER:
        raise _no_launcher(launcher)
    if folder is not None:
        words = [*words, *as_words({"hydra.sweep.dir" if sweep else "hydra.run.dir": Path(folder)})]
    with session(words, verbose) as hydra, isolate_rng(), usual_torch():
        _forget_folders()
        return _run_sweep(hydra, words) if sweep else _run_job(hydra, words)


def _forget_folders() -> None:
    """Let folders be listed again: images may have been added since this process listed them."""
    from graft.data import load  # imports torch
    from graft.reading.class_folders import list_folder
    from graft.tables.table_files import list_table

    for listing in (load.image_folder, load.table, load.torchvision, list_folder, list_table):
        listing.cache_clear()


def _run_job(hydra: Any, words: list[str]) -> Path:
    from graft.run.job import main

    config = _compose(hydra, words, RunMode.RUN)
    check_run(config)
    return run_alone(config, hydra.config_loader, main)


def _run_sweep(hydra: Any, words: list[str]) -> Path:
    """Run a grid or a search in this process; return its folder."""
    from graft.run.job import main

    config = _compose(hydra, words, RunMode.MULTIRUN)
    if not runs_in_this_process(config.hydra.launcher):
        raise _no_launcher(f"hydra/launcher={config.hydra.runtime.choices['hydra/launcher']}")
    folder = Path(config.hydra.sweep.dir)
    jobs = check_sweep(config, folder)
    launch_only(jobs)
    with locked_sweep_folder(folder):
        write_planned(config, jobs)
        renew_report(folder, config)
        if config.sweep is None:
            keep_composed(jobs)
        launcher = InThisProcess(ComposedJobs(hydra.config_loader), main)  # type: ignore[arg-type]
        launcher.setup(hydra_context=None, task_function=main, config=config)  # type: ignore[arg-type]
        if config.sweep is None:
            run_grid(config, launcher, None)
        else:
            from graft.sweeps.study import search

            search(config, launcher)
        if launcher.refused is not None:
            raise launcher.refused
        show_sweep(folder, config.report.baseline, page_pictures())
        log_sweep(config)
    return folder


def _no_launcher(word: str) -> GraftError:
    return GraftError(
        f"{word} starts jobs from the command line; Python runs them in this process, one after another: leave it out, "
        f"or try python src/train.py -m {word}"
    )


def _compose(hydra: Any, words: list[str], mode: RunMode) -> DictConfig:
    """Compose a configuration as the command line does, but for logging."""
    words = [*words, f"hydra.mode={mode.name}"]  # as Hydra itself adds it: jobs of a sweep are composed from it
    return hydra.compose_config("train", words, run_mode=mode, with_log_configuration=False)
