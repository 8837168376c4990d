"""Where Hydra looks for sweepers; it imports this at every start, so nothing but Hydra is imported here."""

from typing import Any

from hydra._internal.core_plugins.basic_sweeper import BasicSweeper
from hydra.core.plugins import Plugins
from hydra.plugins.sweeper import Sweeper
from hydra.types import HydraContext, TaskFunction
from omegaconf import DictConfig


class GridSweeper(BasicSweeper):
    """Hydra's own, but that a launcher's failure does not take the answer with it, and jobs are not composed twice."""

    def sweep(self, arguments: list[str]) -> Any:
        from graft.run.launcher import launching

        assert self.config is not None
        with launching(self.config):
            return super().sweep(arguments)

    def validate_batch_is_legal(self, batch: Any) -> None:
        """Do nothing: graft.sweep has composed and checked each job, which takes as long as running a small one."""


class OptunaSweeper(Sweeper):
    """Runs the jobs that Optuna asks for, through whichever launcher is configured."""

    def setup(self, *, hydra_context: HydraContext, task_function: TaskFunction, config: DictConfig) -> None:
        self.config, self.hydra_context = config, hydra_context
        self.launcher = Plugins.instance().instantiate_launcher(
            hydra_context=hydra_context, task_function=task_function, config=config
        )

    def sweep(self, arguments: list[str]) -> Any:
        from graft.run.study import search

        assert self.config is not None
        assert self.launcher is not None
        return search(self.config, self.launcher)
