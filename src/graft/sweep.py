"""What happens around Hydra's jobs: every configuration is checked first, and a sweep ends in a table.

Hydra calls this before anything heavy is imported.
"""

import functools
import json
import logging
import sys
import tempfile
import traceback
from collections.abc import Callable, Iterator
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
from omegaconf import DictConfig, OmegaConf

from graft.config import check, plain, unused
from graft.errors import GraftError

log = logging.getLogger("graft")

FAILURE = "failure.json"  # stands in a job's folder instead of a result
NOT_COMPARED = ("name", "cache", "trials_at_once", "trainer")  # none of these changes what a job finds


class Sweep(Callback):
    """Hydra's callback: refuses bad configurations before the first job, and ranks the jobs after the last.

    Hydra turns a callback's exceptions into warnings, so it is `SystemExit` that stops the program.
    """

    def on_run_start(self, config: DictConfig, **_: Any) -> None:
        with _stop_on_error():
            _check_job(config, Path(config.hydra.run.dir))
            _check_writable(Path(config.hydra.run.dir), Path(config.cache))

    def on_multirun_start(self, config: DictConfig, **_: Any) -> None:
        folder = Path(config.hydra.sweep.dir)
        with _stop_on_error():
            try:
                jobs = list(_jobs(config))
            except HydraException:
                return  # Hydra's sweeper meets the same error in a moment, and reports it
            if not jobs:
                raise GraftError("this sweep has no jobs: a glob in it matches nothing; --help lists the options")
            if any(Path(job.hydra.sweep.dir) != folder for job in jobs):
                raise GraftError("name= cannot be swept, since a sweep has one folder; its jobs name theirs themselves")
            for job in jobs:
                _check_job(job, folder / job.hydra.sweep.subdir)
            _check_writable(folder, *{Path(job.cache) for job in jobs})

    def on_multirun_end(self, config: DictConfig, **_: Any) -> None:
        from graft.report import show_sweep

        with _stop_on_error():
            if show_sweep(Path(config.hydra.sweep.dir)):
                sys.exit(1)


def run_job(run: Callable[[DictConfig, Path], None], cfg: DictConfig) -> None:
    """Run one of Hydra's jobs; a failure is said and, within a sweep, noted in the job's folder for the table.

    Raises:
        SystemExit: the only job failed; jobs of a sweep leave the others their turn.
    """
    hydra = HydraConfig.get()
    folder = Path(hydra.runtime.output_dir)
    try:
        run(cfg, folder)
        return
    except GraftError as error:
        reason = str(error)
        log.error(reason)
    except Exception as error:
        if hydra.mode is not RunMode.MULTIRUN:
            raise
        reason = f"{type(error).__name__}: {error}"
        log.exception("this job failed; the sweep goes on")
    if hydra.mode is not RunMode.MULTIRUN:
        sys.exit(1)
    from graft.files import write_text

    write_text(folder / FAILURE, json.dumps({"error": reason}) + "\n")


def _jobs(config: DictConfig) -> Iterator[DictConfig]:
    """Compose the configuration of each job that Hydra's own sweeper would launch."""
    loader = GlobalHydra.instance().config_loader()
    overrides = OverridesParser.create(config_loader=loader).parse_overrides(list(config.hydra.overrides.task))
    for batch in BasicSweeper.split_arguments(overrides, max_batch_size=None):
        for job in batch:
            yield loader.load_sweep_config(config, list(job))


def _check_job(config: DictConfig, folder: Path) -> None:
    """Refuse a configuration that cannot run, or that would write over another one's result.

    Raises:
        GraftError: says why.
    """
    cfg = OmegaConf.masked_copy(config, [str(key) for key in config if key != "hydra"])
    check(cfg)
    for override in config.hydra.overrides.task:
        knob = override.partition("=")[0]
        if unused(cfg, knob):
            _warn(f"{override} has no effect: none of the chosen options uses it")
    finished = folder / "result.json"
    if finished.exists():
        old, new = json.loads(finished.read_text())["config"], plain(cfg)
        changed = [key for key in new if key not in NOT_COMPARED and old.get(key) != new[key]]
        if changed:
            raise GraftError(
                f"{folder} holds the result of another configuration ({', '.join(changed)} differ); "
                "try another name=, or remove that folder"
            )


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


@contextmanager
def _stop_on_error() -> Iterator[None]:
    try:
        yield
    except GraftError as error:
        print(error, file=sys.stderr)
        sys.exit(1)
    except Exception:
        traceback.print_exc()
        sys.exit(1)
