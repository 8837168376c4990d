"""One job: one configuration, run for all its trials, from the data set to its result."""

import gc
import logging
import shutil
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import pytorch_lightning as pl
import torch
from hydra.core.hydra_config import HydraConfig
from hydra.core.utils import configure_log
from omegaconf import DictConfig

from graft.backbones.staged import Backbone
from graft.config.build import to_plain
from graft.config.identity import Contents, check_existing_result, check_refit, choices
from graft.errors import GraftError, Pruned
from graft.job_folder import TRIAL_RUN, locked_job_folder, read_result
from graft.model.stages import Weights
from graft.page.show import show_alone
from graft.page.show_job import show_job
from graft.process import environment_rank, prepare_for_training
from graft.ranks import rank, seed_rank
from graft.run.check_plan import warn_of_plan
from graft.run.earlier import Earlier, find_finished, num_kept, run_rounds
from graft.run.history import JobHistory, check_any_finished
from graft.run.launch import launch, launched, runs_alone
from graft.run.log_result import log_begin
from graft.run.lr_finder import find_lr
from graft.run.make_plan import make_plan
from graft.run.model_writer import write_reference
from graft.run.page_pictures import page_pictures
from graft.run.phase import PhaseRun
from graft.run.plan import Plan, PlannedPhase
from graft.run.result import Clock, clear_folder, costs, hardware, keep_result, parameter_counts, versions, write_files
from graft.seed import seeded
from graft.training.features import FeatureStore
from graft.training.inputs import phase_inputs
from graft.training.prune import pruning
from graft.training.transfer import TransferModule

log = logging.getLogger("graft")


def main(cfg: DictConfig, folder: Path, resume: bool) -> dict[str, Any] | None:
    """Run one configuration, or take its result if it is finished, and print its answer.

    Args:
        cfg: the composed configuration.
        folder: the job's folder; if several processes get the same folder, one runs the job and the others wait.
        resume: whether to skip a finished job.

    Returns:
        The content of `result.json` or `trial_run.json`; None if a search pruned the job, and on ranks other than 0.
    """
    try:
        with locked_job_folder(folder):
            result = run(cfg, folder, resume)
    except Pruned as pruned:
        log.info("%s", pruned)
        return None
    finally:
        gc.collect()  # a trainer and its module refer to each other, and thereby keep all weights
    if result is not None:
        show_job(result, folder)
        if "trial_run" in result:
            log.warning("a trial run: %s (not stored as finished, not ranked)", "; ".join(result["trial_run"]))
        elif runs_alone():
            show_alone(result, folder, page_pictures())  # a sweep ends with those of its best
    return result


def run(cfg: DictConfig, folder: Path, resume: bool = False) -> dict[str, Any] | None:
    """Run all trials of one configuration and write the results into a folder.

    A job that needs several devices starts processes for them, which run this same function.

    Returns:
        The content of `result.json`, or of `trial_run.json`; None on ranks other than 0, which write nothing.

    Raises:
        GraftError: the user can correct something; the message says what.
    """
    if cfg.trials == "auto":
        return run_rounds(cfg, folder, resume, _run)
    return _run(cfg, folder, resume, cfg.trials)


def _run(cfg: DictConfig, folder: Path, resume: bool, count: int) -> dict[str, Any] | None:
    """Run a configuration up to a number of trials; with trials=auto `resume` keeps fewer that are finished."""
    clock = Clock()
    prepare_for_training()
    rounds = cfg.trials == "auto"
    plan = make_plan(cfg, range(num_kept(folder, count, resume and rounds), count))
    config = to_plain(cfg)
    identity, contents = plan.identify(config)
    check_refit(config["refit"], contents)
    finished, earlier = find_finished(folder, identity, contents.images, rounds) if resume else (None, None)
    if finished is not None and len(finished["trials"]) >= count:
        keep_result(folder)
        log.info("%s is finished", folder.name)
        return finished
    if earlier is None and plan.first_trial:
        plan = make_plan(cfg, range(count))
    # Again: another process may have written a result since the check before the first job.
    check_existing_result(config, folder, lambda: contents.images)
    if plan.world_size > 1 and not launched():
        launch(_run_rank, plan.world_size, cfg, HydraConfig.instance().cfg, folder, resume, count)
        result = read_result(folder, TRIAL_RUN) or read_result(folder)
        if result is None:
            raise GraftError(f"{folder}/result.json is damaged; run the same command again")
        return result
    plan.warn()
    warn_of_plan(plan, cfg)
    pruner = "none" if cfg.sweep is None or cfg.trials == "auto" else cfg.sweep.pruner
    callbacks = pruning(pruner, folder, count, plan.epochs)
    return Job(plan, config, folder, identity, contents, clock, callbacks, earlier).run()


def _run_rank(cfg: DictConfig, hydra: DictConfig | None, folder: Path, resume: bool, count: int) -> None:
    """Run a job as one of its ranks, in a new process where Hydra is not set up yet."""
    if hydra is not None:
        HydraConfig.instance().set_config(hydra)
        if environment_rank() == 0:
            configure_log(hydra.hydra.job_logging, hydra.hydra.verbose)
    _run(cfg, folder, resume, count)


@dataclass
class Job:
    """A planned configuration that runs in a folder, phase by phase and chunk by chunk of trials.

    Attributes:
        plan: everything that its configuration names.
        config: its plain configuration.
        folder: the folder that its files are written into.
        identity: its identity, from its configuration and contents.
        contents: what it is made from.
        clock: measures its parts.
        callbacks: further callbacks of each fit.
        earlier: finished trials, to which this run adds its own; None: there are none.
        learned: what each trial's network has learned in the phases so far, by trial.
        history: every trial's metrics of every epoch.
        lr: the learning rate of each phase.
        redraw: whether some fit drew curves of some trials or epochs only.
        unseen: in words, what trainer flags have left out of training or test; such a job is a trial run.
    """

    plan: Plan
    config: dict[str, Any]
    folder: Path
    identity: str
    contents: Contents
    clock: Clock
    callbacks: list[pl.Callback]
    earlier: Earlier | None = None
    learned: dict[int, Weights] = field(default_factory=dict)
    history: JobHistory = field(default_factory=JobHistory)
    lr: list[float | str | None] = field(default_factory=list)
    redraw: bool = False
    unseen: list[str] = field(default_factory=list)

    def run(self) -> dict[str, Any] | None:
        """Run all phases; return the content of the result, None on ranks other than 0."""
        with self.clock("pretrain"):
            backbone = self.plan.pretrained(Path(self.config["cache"]))
        self.unseen += self.plan.source.unseen
        origin = self.plan.origin(backbone.label, self.config)
        store = FeatureStore(Path(self.config["cache"]) / "features", self.plan.device, origin)
        if rank() == 0:
            clear_folder(self.folder, curves=self.earlier is None)
            if self.earlier is None:
                log_begin(self.plan, self.folder)
        for planned in self.plan.phases:
            self._run_phase(planned, backbone, store)
        write_reference(self.folder, self.plan, self.config, backbone, store, bool(self.unseen))
        if rank() > 0:
            return None
        content = self._finish(backbone, store)
        shutil.rmtree(self.folder / "checkpoints", ignore_errors=True)
        return content

    def _run_phase(self, planned: PlannedPhase, backbone: Backbone, store: FeatureStore) -> None:
        """Train all trials in one phase."""
        num_frozen, later = planned.phase.frozen_stages, self.plan.phases[planned.index + 1 :]
        frozen, stages = backbone.split(num_frozen)
        begin, _ = backbone.split(min((each.phase.frozen_stages for each in later), default=0))
        # Done even if all features are stored, so that cached and uncached runs give equal results.
        frozen.to(memory_format=torch.channels_last)  # type: ignore[call-overload]
        with self.clock("features"):
            inputs = phase_inputs(self.plan.datamodule, frozen, num_frozen > 0, store, not later, begin)
        run = PhaseRun(self.plan, planned, self.plan.datamodule.with_inputs(inputs), frozen, stages, self.learned)
        found = (self.config["refit"] or {}) if self.earlier is None else self.earlier.result
        if planned.phase.lr == "auto" and found:
            run = run.with_settings(lr=found["lr"][planned.index])
        elif planned.phase.lr == "auto":
            with self.clock("train"):
                path = self.folder / "checkpoints" / f"{self.identity}_phase_{planned.index + 1}_lr.json"
                run = run.with_settings(lr=find_lr(run, path))
        if not self.plan.is_solved:
            self.lr.append(run.planned.phase.lr)
        for trials in planned.chunks:
            fit = run.fit(trials, self.folder, self.identity, self.callbacks)
            seed = self.plan.streams[trials.start]
            with seeded(seed, planned.stream):
                seed_rank(seed, planned.stream)
                with self.clock("train"):
                    fit.train()
                if not later:
                    with self.clock("test"):
                        fit.test()
            self._add(trials, fit.transfer, run)
            self.unseen += [reason for reason in fit.unseen(not later) if reason not in self.unseen]

    def _add(self, trials: range, transfer: TransferModule, run: PhaseRun) -> None:
        """Take over the history and the weights of the trials that one fit has trained."""
        self.redraw |= len(trials) < len(self.plan.seeds) or transfer.resumed
        self.history.add(trials, transfer.record, transfer.epoch, transfer.outcomes)
        self.learned |= zip(trials, run.weights(transfer), strict=True)

    def _finish(self, backbone: Backbone, store: FeatureStore) -> dict[str, Any]:
        """Write the job's files; return the content of the result.

        Raises:
            GraftError: all trials failed.
        """
        plan, config, results = self.plan, self.config, self.history.trial_results(self.plan.seeds)
        check_any_finished(results, config["lr"])
        if self.redraw and self.earlier is None and "tensorboard" in plan.loggers:
            self.history.draw(self.folder, ("train", *plan.datamodule.curves))
        content = {
            "config": config,
            "trials": results,
            "images": {"big": len(plan.data.big), **self.history.image_counts(), **plan.data.account()},
            "choices": choices(HydraConfig.get()) if HydraConfig.initialized() else {},
            "lr": self.lr,
            "accuracy": {},  # with that of earlier rounds' trials
            "parameters": parameter_counts(plan, backbone),
            "backbone": costs(plan, backbone, store),
            "seconds": self.clock.seconds(),
            "reference": config["reference"],
            "versions": versions(),
            "hardware": hardware(plan.device),
            "identity": self.identity,
            "contents": asdict(self.contents),
            **({"trial_run": self.unseen} if self.unseen else {}),
        }
        return write_files(self.folder, plan, self.history, content, backbone, self.learned, self.earlier)
