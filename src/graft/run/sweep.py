"""What happens around Hydra's jobs: every configuration is checked first, and a sweep ends in a table.

Hydra calls this before anything heavy is imported.
"""

import functools
import json
import logging
import os
import signal
import sys
import tempfile
import threading
import traceback
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from hydra._internal.core_plugins.basic_sweeper import BasicSweeper
from hydra.core.global_hydra import GlobalHydra
from hydra.core.hydra_config import HydraConfig
from hydra.core.override_parser.overrides_parser import OverridesParser
from hydra.errors import HydraException
from hydra.experimental.callback import Callback
from hydra.types import RunMode
from omegaconf import DictConfig

from graft.config.build import to_plain
from graft.config.check import check, unused
from graft.config.identity import check_existing_result, choices, without_hydra
from graft.errors import GraftError
from graft.job_folder import FAILURE, RESULT
from graft.report.baseline import matches_baseline, unknown_baseline
from graft.report.settings import swept_settings
from graft.run.launcher import check_devices, enter_worker, left_running, lock_sweep_folder, show_so_far
from graft.run.space import check_search, ends

log = logging.getLogger("graft")

INTERRUPTED = 130  # exit status, as the shell's own for Ctrl-C


class SweepCallback(Callback):
    """Hydra's callback: refuses bad configurations before the first job, and ranks the jobs after the last.

    Hydra turns a callback's exceptions into warnings, so it is `SystemExit` that stops the program.
    """

    def on_run_start(self, config: DictConfig, **_: Any) -> None:
        _stop_on_interrupt(lambda: None)
        with stop_on_error():
            if config.sweep is not None:
                raise GraftError("sweep= is for sweeps; try python src/train.py -m")
            folder = Path(config.hydra.run.dir)
            if (folder / "multirun.yaml").exists():
                raise GraftError(f"{folder} holds a sweep, whose table would count this job, too; try another name=")
            check_job(config, folder)
            _check_writable(folder, Path(config.cache))

    def on_multirun_start(self, config: DictConfig, **_: Any) -> None:
        folder = Path(config.hydra.sweep.dir)
        with stop_on_error():
            if "TORCHELASTIC_RUN_ID" in os.environ:
                raise GraftError(
                    "torchrun would run this whole sweep once in each of its processes; try python src/train.py -m "
                    "trainer=ddp, whose jobs each start processes of their own"
                )
            # Ray and submitit start workers that were typed nothing: ${typed:} must be in what they are sent.
            str(config.hydra.sweep.subdir)
            if config.hydra.sweeper.get("params"):
                raise GraftError("hydra.sweeper.params would go unchecked; try its keys and values behind -m")
            try:
                jobs = list(_jobs(config))
            except HydraException as error:
                raise GraftError("\n".join(str(part) for part in (error, error.__cause__) if part)) from None
            if (folder / RESULT).exists():
                raise GraftError(f"{folder} holds a single job, which the sweep's table would count; try another name=")
            if not jobs:
                raise GraftError("this sweep has no jobs: a glob in it matches nothing; --help lists the options")
            if any(Path(job.hydra.sweep.dir) != folder for job in jobs):
                raise GraftError("name= cannot be swept, since a sweep has one folder; its jobs name theirs themselves")
            if any(job.sweep != config.sweep for job in jobs):
                raise GraftError("sweep= cannot be swept; try one of its options")
            if config.sweep is not None:
                check_search(jobs)
            check_devices(config, jobs)
            for job in jobs:
                check_job(job, folder / job.hydra.sweep.subdir)
            _check_baseline(config.report.baseline, jobs)
            _check_writable(folder, *{Path(job.cache) for job in jobs})
            lock_sweep_folder(folder)
        if config.sweep is None and config.hydra.launcher._target_.endswith(".BasicLauncher"):
            _hand_over(jobs)
        _stop_on_interrupt(lambda: show_so_far(config), left_running(config.hydra.launcher))

    def on_job_start(self, config: DictConfig, **_: Any) -> None:
        enter_worker(config)

    def on_multirun_end(self, config: DictConfig, **_: Any) -> None:
        from graft.report.show import show_sweep

        with stop_on_error():
            if show_sweep(Path(config.hydra.sweep.dir), config.report.baseline):
                sys.exit(1)


def run_job(run: Callable[[DictConfig, Path, bool], dict | None], cfg: DictConfig) -> None:
    """Run one of Hydra's jobs; a failure is said and, within a sweep, noted in the job's folder for the table.

    Raises:
        SystemExit: the only job failed, or one of its trials; jobs of a sweep leave the others their turn.
    """
    hydra = HydraConfig.get()
    folder = Path(hydra.runtime.output_dir)
    sweep = hydra.mode is RunMode.MULTIRUN
    try:
        result = run(cfg, folder, sweep if cfg.resume is None else cfg.resume)
        if result is not None and any("error" in trial for trial in result["trials"]) and not sweep:
            sys.exit(1)
        return
    except GraftError as error:
        reason = str(error)
        log.error(reason)
    except Exception as error:
        if not sweep:
            raise
        reason = f"{type(error).__name__}: {error}"
        log.exception("this job failed; the sweep goes on")
    if not sweep:
        sys.exit(1)
    from graft.files import write_text

    write_text(folder / FAILURE, json.dumps({"error": reason}) + "\n")


def _jobs(config: DictConfig) -> Iterator[DictConfig]:
    """Compose the configuration of each job that Hydra's own sweeper would launch, or of those at a search's ends."""
    loader = GlobalHydra.instance().config_loader()
    if config.sweep is None:
        overrides = OverridesParser.create(config_loader=loader).parse_overrides(list(config.hydra.overrides.task))
        (jobs,) = BasicSweeper.split_arguments(overrides, max_batch_size=None)
    else:
        jobs = ends(config)
    for job in jobs:
        yield loader.load_sweep_config(config, list(job))


def _hand_over(jobs: Sequence[DictConfig]) -> None:
    """Let the launcher of this process take jobs as they were composed for the check: composing one takes 0.1 s."""
    loader = GlobalHydra.instance().config_loader()
    compose = loader.load_sweep_config
    composed = {tuple(job.hydra.overrides.task): job for job in jobs}

    def load_sweep_config(master_config: DictConfig, sweep_overrides: list[str]) -> DictConfig:
        job = composed.pop(tuple(sweep_overrides), None)
        return compose(master_config, sweep_overrides) if job is None else job

    loader.load_sweep_config = load_sweep_config


def _check_baseline(baseline: str | None, jobs: Sequence[DictConfig]) -> None:
    """Refuse a baseline that no job is.

    Raises:
        GraftError: lists what the jobs are.
    """
    if baseline is None:
        return
    composed = [(to_plain(without_hydra(job)), choices(job.hydra)) for job in jobs]
    if not any(matches_baseline(baseline, chosen, config) for config, chosen in composed):
        raise unknown_baseline(baseline, swept_settings(composed))


def check_job(config: DictConfig, folder: Path) -> None:
    """Refuse a configuration that cannot run, or that would write over another one's result.

    Raises:
        GraftError: says why.
    """
    cfg = without_hydra(config)
    check(cfg)
    typed = {override.partition("=")[0]: override for override in config.hydra.overrides.task}
    for knob in unused(cfg, list(typed)):
        _warn(f"{typed[knob]} has no effect: none of the chosen options uses it")
    check_existing_result(to_plain(cfg), folder)


@functools.cache  # said once, not for each job of a sweep
def _warn(message: str) -> None:
    print(message, file=sys.stderr)


def _check_writable(*folders: Path) -> None:
    """Make the folders that a run writes into.

    Raises:
        GraftError: one of them cannot be made or written into.
    """
    for folder in folders:
        try:
            folder.mkdir(parents=True, exist_ok=True)
            with tempfile.TemporaryFile(dir=folder):
                pass
        except OSError as error:
            raise GraftError(
                f"cannot write to {folder} ({error.strerror}); try name=, hydra.run.dir= or cache="
            ) from None


def _stop_on_interrupt(last: Callable[[], object], left: str = "") -> None:
    """Make Ctrl-C end the program after a last act, where Lightning would end one fit and let the sweep go on."""

    def stop(*_: object) -> None:
        signal.signal(signal.SIGINT, signal.SIG_DFL)  # who presses twice waits for nothing
        last()
        print(f"stopped{left}; the same command goes on from here with -m or resume=true", file=sys.stderr)
        sys.exit(INTERRUPTED)

    if threading.current_thread() is threading.main_thread():
        signal.signal(signal.SIGINT, stop)


@contextmanager
def stop_on_error() -> Iterator[None]:
    """End the program with a message instead of a `GraftError`."""
    try:
        yield
    except GraftError as error:
        print(error, file=sys.stderr)
        sys.exit(1)
    except Exception:
        traceback.print_exc()
        sys.exit(1)
