"""Jobs in this process, one after another, without Hydra's logging."""

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from hydra.core.config_loader import ConfigLoader
from hydra.core.hydra_config import HydraConfig
from hydra.core.utils import JobReturn
from hydra.core.utils import run_job as run_with_hydra
from hydra.plugins.launcher import Launcher
from hydra.types import HydraContext, TaskFunction
from omegaconf import DictConfig, open_dict

from graft.api.session import quiet_libraries
from graft.errors import OtherResult
from graft.sweeps.sweep import run_job


class _NoCallbacks:
    """Hydra's callbacks, none: the checks before a sweep and the report after it are called directly."""

    def on_job_start(self, **_: Any) -> None: ...

    def on_job_end(self, **_: Any) -> None: ...


def run_alone(config: DictConfig, loader: ConfigLoader, run: Callable[..., object]) -> Path:
    """Run one configuration that is no part of a sweep; a finished job is not run again, unless `resume` is false.

    Args:
        config: its configuration, with `hydra`.
        loader: Hydra's.
        run: runs it, as `graft.run.job.main` does.

    Returns:
        Its folder.
    """
    failed: list[Exception] = []

    def task(cfg: DictConfig) -> None:
        try:
            run(cfg, Path(HydraConfig.get().runtime.output_dir), True if cfg.resume is None else cfg.resume)
        except Exception as error:
            failed.append(error)  # Hydra would print it

    _run(config, loader, task, "hydra.run.dir", None)
    if failed:
        raise failed[0]
    return Path(config.hydra.run.dir)


def _run(config: DictConfig, loader: ConfigLoader, task: TaskFunction, folder: str, subfolder: str | None) -> JobReturn:
    loggers = config.hydra.job_logging.loggers
    levels = {str(name): str(loggers[name].level) for name in loggers}
    context = HydraContext(loader, _NoCallbacks())  # type: ignore[arg-type]
    with quiet_libraries(levels):
        return run_with_hydra(
            task_function=task,
            config=config,
            job_dir_key=folder,
            job_subdir_key=subfolder,
            hydra_context=context,
            configure_logging=False,
        )


class InThisProcess(Launcher):
    """Runs a sweep's jobs as Hydra's basic launcher does.

    Args:
        loader: composes the jobs.
        run: runs one, as `graft.run.job.main` does.

    Attributes:
        refused: why a job would have overwritten another one's result.
    """

    def __init__(self, loader: ConfigLoader, run: Callable[..., Any]):
        super().__init__()
        self.loader, self.run = loader, run
        self.refused: OtherResult | None = None

    def setup(self, *, hydra_context: HydraContext, task_function: TaskFunction, config: DictConfig) -> None:
        self.config = config

    def launch(self, job_overrides: Sequence[Sequence[str]], initial_job_idx: int) -> Sequence[JobReturn]:
        assert self.config is not None
        returns = []
        for number, overrides in enumerate(job_overrides, initial_job_idx):
            job = self.loader.load_sweep_config(self.config, list(overrides))
            with open_dict(job):
                job.hydra.job.id = job.hydra.job.num = number
            returns.append(_run(job, self.loader, self._task, "hydra.sweep.dir", "hydra.sweep.subdir"))
        return returns

    def _task(self, cfg: DictConfig) -> None:
        try:
            run_job(self.run, cfg)
        except OtherResult as error:
            self.refused = error
