"""Graft's two sweepers, where Hydra looks for them.

Hydra imports this at every start: do not import anything but Hydra at the top of this module.
"""

from typing import Any

from hydra.core.plugins import Plugins
from hydra.plugins.sweeper import Sweeper
from hydra.types import HydraContext, TaskFunction
from omegaconf import DictConfig


class GridSweeper(Sweeper):
    """Runs a job for each combination of listed values (graft.sweeps.grid).

    Args:
        max_batch_size: how many jobs the launcher gets together; None: all.
    """

    def __init__(self, max_batch_size: int | None = None):
        self.max_batch_size = max_batch_size

    def setup(self, *, hydra_context: HydraContext, task_function: TaskFunction, config: DictConfig) -> None:
        from graft.sweeps.grid import with_composed
        from graft.sweeps.launcher import runs_in_this_process

        self.config, self.hydra_context = config, hydra_context
        context = with_composed(hydra_context) if runs_in_this_process(config.hydra.launcher) else hydra_context
        self.launcher = Plugins.instance().instantiate_launcher(
            hydra_context=context, task_function=task_function, config=config
        )

    def sweep(self, arguments: list[str]) -> Any:
        from graft.sweeps.grid import run_grid

        assert self.config is not None
        assert self.launcher is not None
        return run_grid(self.config, self.launcher, self.max_batch_size)


class OptunaSweeper(Sweeper):
    """Runs the jobs that Optuna asks for, through whichever launcher is configured (graft.sweeps.study)."""

    def setup(self, *, hydra_context: HydraContext, task_function: TaskFunction, config: DictConfig) -> None:
        self.config, self.hydra_context = config, hydra_context
        self.launcher = Plugins.instance().instantiate_launcher(
            hydra_context=hydra_context, task_function=task_function, config=config
        )

    def sweep(self, arguments: list[str]) -> Any:
        from graft.config.refusals import explain
        from graft.ending import stop_on_error
        from graft.sweeps.study import search

        assert self.config is not None
        assert self.launcher is not None
        with stop_on_error(explain):
            return search(self.config, self.launcher)
