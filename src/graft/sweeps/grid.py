"""The grid sweep: `grid` lists the overrides of its jobs, `run_grid` launches them.

Hydra calls this before anything heavy is imported: do not import torch here.
"""

import itertools
import math
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path

from hydra.core.config_loader import ConfigLoader
from hydra.core.global_hydra import GlobalHydra
from hydra.core.override_parser.overrides_parser import OverridesParser
from hydra.core.override_parser.types import Override
from hydra.core.utils import JobReturn
from hydra.errors import HydraException
from hydra.plugins.launcher import Launcher
from hydra.types import HydraContext
from omegaconf import DictConfig, OmegaConf

from graft.errors import GraftError
from graft.job_folder import ROUNDS
from graft.sweeps.launcher import launching
from graft.sweeps.space import check_step
from graft.sweeps.time_left import CountedLauncher

MOST_JOBS = 10_000  # of a grid: composing these takes ten minutes

# Configurations by their overrides, from their check until the launcher of this process runs them: composing one
# takes 0.07 s (2 cores, 2026-11-26).
_composed: dict[tuple[str, ...], DictConfig] = {}

_distinct: list[list[str]] = []  # the overrides of the jobs that are launched; empty: of all of the grid


def grid(config: DictConfig) -> list[list[str]]:
    """Return the overrides of each job: all combinations of the listed values; the last key varies fastest.

    Raises:
        GraftError: a key has an interval instead of a list, a list that cannot be made, or there are too many jobs.
    """
    parser = OverridesParser.create(config_loader=GlobalHydra.instance().config_loader())
    values: dict[str, list[str]] = {}
    for override in parser.parse_overrides(list(config.hydra.overrides.task)):
        key = override.get_key_element()
        if not override.is_sweep_override():
            values[key] = [f"{key}={override.get_value_element_as_str()}"]
        elif override.is_discrete_sweep():
            values[key] = [f"{key}={value}" for value in _listed(override)]
        else:
            raise GraftError(f"{override.input_line} is an interval, and sweep=grid needs a list; try sweep=optuna")
    num_jobs = math.prod(map(len, values.values()))
    if num_jobs > MOST_JOBS:
        raise GraftError(f"this sweep has {num_jobs:,} jobs, and at most {MOST_JOBS:,} are allowed; try shorter lists")
    return [list(overrides) for overrides in itertools.product(*values.values())]


def _listed(override: Override) -> list[str]:
    """Return the values of a list or range; its first ones if they are more than the jobs of a sweep.

    Raises:
        GraftError: a range has no step or no end, or one value only.
    """
    try:
        values = list(itertools.islice(override.sweep_string_iterator(), MOST_JOBS + 1))
    except (ValueError, TypeError, ArithmeticError, HydraException):
        raise GraftError(f"{override.input_line} cannot be listed; try range(1,5), or range(1,5,2)") from None
    if not values:
        raise GraftError(f"this sweep has no jobs: {override.input_line} lists nothing; --help lists the options")
    check_step(override, values)
    return values


def run_grid(config: DictConfig, launcher: Launcher, max_batch_size: int | None) -> list[list[JobReturn]]:
    """Launch the jobs of a grid, as Hydra's basic sweeper does: those of `launch_only`, or all.

    The launcher gets at most `max_batch_size` jobs together; its returns are those of each such batch.
    """
    jobs = _distinct or grid(config)
    launcher = CountedLauncher(launcher, config, job_subfolder, None if config.get("trials") == "auto" else len(jobs))
    folder = Path(config.hydra.sweep.dir)
    folder.mkdir(parents=True, exist_ok=True)
    OmegaConf.save(config, folder / "multirun.yaml")
    batches: list[list[JobReturn]] = []

    def launch(chosen: list[list[str]]) -> None:
        size = max_batch_size or len(chosen)
        for start in range(0, len(chosen), size):
            number = sum(map(len, batches))
            batch = list(launcher.launch(chosen[start : start + size], initial_job_idx=number))
            for job in batch:
                _ = job.return_value  # raises the exception of a failed job
            batches.append(batch)

    with launching(config):
        if config.get("trials") == "auto":
            _run_rounds(config, jobs, launch)
        else:
            launch(jobs)
    return batches


def launch_only(jobs: Iterable[DictConfig]) -> None:
    """Let `run_grid` launch only these jobs of its grid: others repeat their configurations."""
    _distinct[:] = [list(job.hydra.overrides.task) for job in jobs]


def _run_rounds(config: DictConfig, jobs: Sequence[list[str]], launch: Callable[[list[list[str]]], None]) -> None:
    """Run a grid's jobs for as many trials as they need, and write why they get no more."""
    from graft.results.rounds import write_rounds  # imports pandas
    from graft.sweeps.rounds import run_rounds, settings

    folder = Path(config.hydra.sweep.dir)
    by_folder = {(folder / job_subfolder(config, overrides)).resolve(): overrides for overrides in jobs}
    (folder / ROUNDS).unlink(missing_ok=True)  # an interrupted sweep shall not have what an earlier one found
    found = run_rounds(settings(config), list(by_folder), lambda some: launch([by_folder[each] for each in some]))
    write_rounds(folder, found)


def job_subfolder(config: DictConfig, overrides: Sequence[str]) -> str:
    """Return the folder of a job within its sweep's."""
    job = _composed.get(tuple(overrides))
    if job is None:
        job = GlobalHydra.instance().config_loader().load_sweep_config(config, list(overrides))
    return str(job.hydra.sweep.subdir)


def keep_composed(jobs: Iterable[DictConfig]) -> None:
    """Keep composed configurations for a launcher with the context of `with_composed`."""
    _composed.update({tuple(job.hydra.overrides.task): job for job in jobs})


def forget_jobs() -> None:
    """Forget what `launch_only` and `keep_composed` got, in a process that lives on."""
    _distinct.clear()
    _composed.clear()


def with_composed(context: HydraContext) -> HydraContext:
    """Return a context for Hydra's basic launcher, whose jobs are those that `keep_composed` got."""
    return HydraContext(ComposedJobs(context.config_loader), context.callbacks)  # type: ignore[arg-type]


class ComposedJobs:
    """Hydra's config loader, as far as launchers use it; composes only jobs that have not been composed yet."""

    def __init__(self, loader: ConfigLoader):
        self.loader = loader

    def load_sweep_config(self, master_config: DictConfig, sweep_overrides: list[str]) -> DictConfig:
        job = _composed.pop(tuple(sweep_overrides), None)
        return self.loader.load_sweep_config(master_config, sweep_overrides) if job is None else job
