"""Hydra's callback: `SweepCallback` checks every job before the first one and shows the table after the last.

`run_job` runs one job. Hydra calls this before anything heavy is imported: do not import torch or pandas at the top of
this module.
"""

import json
import logging
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from logging.handlers import MemoryHandler
from pathlib import Path
from typing import Any

from hydra.core.hydra_config import HydraConfig
from hydra.experimental.callback import Callback
from hydra.types import RunMode
from omegaconf import DictConfig

import graft.config.knobs  # noqa: F401  registers the knobs and resolvers before Hydra composes
from graft.config.refusals import explain
from graft.ending import end_on_signals, exit_if_stopped, known_reason, reason, stop_on_error
from graft.errors import OtherResult, UnavailableError
from graft.job_folder import FAILURE, is_finished
from graft.process import announce, tell
from graft.results.settings import backbone_of
from graft.sweeps.launcher import enter_worker, left_running, lock_sweep_folder, show_so_far, show_table
from graft.sweeps.time_left import counted_job

log = logging.getLogger("graft")


class SweepCallback(Callback):
    """Refuses bad configurations before the first job, and ranks the jobs after the last.

    Hydra turns a callback's exceptions into warnings; only `SystemExit` stops the program.
    """

    def __init__(self) -> None:
        self._held: list[logging.LogRecord] = []

    def on_run_start(self, config: DictConfig, **_: Any) -> None:
        from graft.sweeps.check_sweep import check_run  # a mistyped key must answer without it

        with stop_on_error(explain), _held() as self._held:
            end_on_signals(lambda: None)
            check_run(config)
        announce(f"{config.hydra.run.dir}: the configuration is right; PyTorch and the images are loaded now")

    def on_multirun_start(self, config: DictConfig, **_: Any) -> None:
        announce(f"{config.hydra.sweep.dir}: the configurations of all jobs are checked now, before the first one runs")
        from graft.sweeps.check_sweep import check_sweep
        from graft.sweeps.grid import keep_composed, launch_only
        from graft.sweeps.job_folders import renew_report, write_planned

        with stop_on_error(explain):
            folder = Path(config.hydra.sweep.dir)
            # Resolves ${typed:} now: workers of Ray and SLURM get this configuration, but not the command line.
            str(config.hydra.sweep.subdir)
            jobs = check_sweep(config, folder)
            lock_sweep_folder(folder)
            write_planned(config, jobs)
            renew_report(folder, config)
            launch_only(jobs)
            if config.sweep is None:
                keep_composed(jobs)
            end_on_signals(lambda: show_so_far(config), left_running(config.hydra.launcher))

    def on_job_start(self, config: DictConfig, **_: Any) -> None:
        enter_worker(config)
        for record in self._held:
            log.handle(record)
        said = {record.getMessage() for record in self._held}
        if said:  # the job reads its images again, and may find the same in them
            log.addFilter(lambda record: record.getMessage() not in said)

    def on_multirun_end(self, config: DictConfig, **_: Any) -> None:
        with stop_on_error(explain):
            if show_table(config):
                sys.exit(1)


@contextmanager
def _held() -> Iterator[list[logging.LogRecord]]:
    """Hold what Graft logs before the job's log is set up, to which it belongs; after an error print it at once.

    A refit lists its images while it is checked: Hydra would put its own mark before these lines.
    """
    handler, before = MemoryHandler(sys.maxsize, flushLevel=sys.maxsize), log.propagate
    held = handler.buffer
    log.addHandler(handler)
    log.propagate = False
    try:
        yield held
    except BaseException:
        for record in held:
            tell(record.getMessage())
        raise
    finally:
        log.removeHandler(handler)
        log.propagate = before


def run_job(run: Callable[[DictConfig, Path, bool], dict | None], cfg: DictConfig) -> None:
    """Run one of Hydra's jobs; log a failure and, within a sweep, write it into the job's folder for the table.

    Not into a folder with another configuration's result, which it would hide: then the sweep itself fails.

    Args:
        run: runs a configuration in a folder, and resumes it if the third argument is true.
        cfg: the job's configuration.

    Raises:
        SystemExit: the job, or one of its trials, failed or was cut short, and is not part of a sweep.
        OtherResult: the job, part of a sweep, would overwrite another configuration's result.
    """
    hydra = HydraConfig.get()
    folder = Path(hydra.runtime.output_dir)
    sweep = hydra.mode is RunMode.MULTIRUN
    exit_if_stopped()
    try:
        with counted_job(folder):
            result = run(cfg, folder, sweep if cfg.resume is None else cfg.resume)
        if result is not None and not is_finished(result) and not sweep:
            sys.exit(1)
        return
    except BrokenPipeError:  # the output was closed: the sweep's other jobs cannot be shown either
        with stop_on_error():
            raise
    except Exception as error:
        exit_if_stopped()
        log.error(explain(error) or reason(error))
        if not sweep:
            sys.exit(1)
        if isinstance(error, OtherResult):
            raise
        failure = _failure(error, cfg)
    from graft.files import write_text

    write_text(folder / FAILURE, json.dumps(failure) + "\n")


def _failure(error: Exception, cfg: DictConfig) -> dict[str, str]:
    """Return what a job's folder says of its failure, and which backbone's weights could not be had, if that is it."""
    short = explain(error) or known_reason(error) or f"{type(error).__name__}: {error}"
    return {"error": short} | ({"unavailable": backbone_of(cfg)} if isinstance(error, UnavailableError) else {})
