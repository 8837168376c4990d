"""One phase of a job: its trials' networks, and a Lightning fit for each chunk of trials."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import pytorch_lightning as pl
from torch import nn

from graft.data.datamodule import SmallDataModule
from graft.data.folds import NO_IMAGE
from graft.model.lora import merged
from graft.model.stages import Weights
from graft.nouns import counted
from graft.run.outcome_writer import keeps_all_classes
from graft.run.plan import Plan, PlannedPhase
from graft.training.checkpoint import Checkpoint
from graft.training.logger import curves
from graft.training.progress import Progress
from graft.training.transfer import TransferModule
from graft.training.tune import Freeze, Unfreeze


@dataclass(frozen=True)
class Fit:
    """The training of one chunk of trials in one phase, which `name` calls by its name."""

    trainer: pl.Trainer
    transfer: TransferModule
    datamodule: SmallDataModule
    checkpoint: Checkpoint
    epochs: int
    name: str

    def train(self) -> None:
        """Train for the phase's epochs, from the fit's checkpoint if there is one."""
        self.checkpoint.fit(self.trainer, self.transfer, self.datamodule)

    def test(self) -> None:
        """Test the trained networks; those of a refit have no test images."""
        if self.datamodule.rows["test"].numel():
            self.trainer.test(self.transfer, datamodule=self.datamodule, verbose=False)

    def unseen(self, tested: bool) -> list[str]:
        """Return in words what a trainer flag has left out of the training, and of the test if there was one."""
        transfer, found = self.transfer, []
        training = transfer.unseen(self.epochs, self.datamodule.rows["train"].shape[1])
        if training:
            found.append(f"{self.name} {training}")
        for loader in self.datamodule.test_dataloader() if tested else []:
            planned = (loader.rows != NO_IMAGE).sum(1)  # of each trial, or of all trials
            seen = transfer.record.final(transfer.epoch, loader.split).long()
            missed = planned - seen
            if missed.any():
                name = loader.split.replace("val", "final validation").replace("_views", " of views")
                most = int(missed.argmax())
                total = int(planned.expand_as(missed)[most])
                found.append(f"the {name} saw {total - int(missed[most]):,} of {counted(total, 'image')}")
        return found


@dataclass(frozen=True)
class PhaseRun:
    """A phase with the inputs of all trials.

    Attributes:
        plan: the job's.
        planned: the phase.
        datamodule: all trials' inputs in this phase.
        frozen: preprocessing and frozen stages.
        stages: the stages that train, with their source's weights.
        learned: state dicts of the trials' networks after the earlier phases, by trial.
    """

    plan: Plan
    planned: PlannedPhase
    datamodule: SmallDataModule
    frozen: nn.Module
    stages: nn.Module
    learned: dict[int, Weights]

    def with_settings(self, **settings: Any) -> "PhaseRun":
        """Return the phase with other settings, `lr` or `schedule` as `Phase` has them."""
        return replace(self, planned=replace(self.planned, phase=replace(self.planned.phase, **settings)))

    def networks(self, trials: range) -> list[nn.Module]:
        """Return some trials' networks at the start of the phase, with what they learned in earlier ones."""
        networks = [self.plan.network(self.plan.streams[trial], self.planned.phase, self.stages) for trial in trials]
        for trial, network in zip(trials, networks, strict=True):
            network.load_state_dict(self.learned.get(trial, {}), strict=False)
        return networks

    def fit(self, trials: range, folder: Path, identity: str, callbacks: Sequence[pl.Callback]) -> Fit:
        """Return the fit of some trials, ready to train.

        Its curves and checkpoints are in the job's folder, under the job's identity; it has further callbacks.
        """
        plan, datamodule, number = self.plan, self.datamodule.chunk(trials), self.planned.index + 1
        transfer = plan.transfer(self.planned, self.frozen, self.networks(trials), datamodule)
        transfer.keeps_all_classes = keeps_all_classes(plan)
        in_chunks = plan.first_trial > 0 or any(len(planned.chunks) > 1 for planned in plan.phases)
        first, last = (plan.first_trial + trial for trial in (trials.start, trials.stop - 1))
        name = f"trials_{first}-{last}"
        path = folder / "checkpoints" / f"{identity}_phase_{number}_{name}.ckpt"
        checkpoint = Checkpoint(path, last=in_chunks or len(plan.phases) > 1)
        label = f"trials {first} to {last}" if len(trials) > 1 else f"trial {first}"
        later = sum(len(chunk) for chunk in self.planned.chunks if chunk.start > trials.start) / len(trials)
        progress = Progress(f"phase {number}, {label}" if len(plan.phases) > 1 else label, later)
        trainer = plan.trainer(
            max_epochs=self.planned.phase.epochs,
            logger="tensorboard" in plan.loggers
            and curves(folder, ("train", *datamodule.curves), name if in_chunks else ""),
            callbacks=[Freeze(), Unfreeze(), progress, *plan.callbacks(), *callbacks, checkpoint],
            check_val_every_n_epoch=plan.val_every,
            limit_val_batches=1.0 if datamodule.curves else 0,
            default_root_dir=folder,
        )
        training = f"phase {number} of the training" if len(plan.phases) > 1 else "the training"
        return Fit(trainer, transfer, datamodule, checkpoint, self.planned.phase.epochs or 0, training)

    def weights(self, transfer: TransferModule) -> list[Weights]:
        """Return the state dicts of the trials that a fit has trained, LoRA's updates added to the stages' weights."""
        found = [
            {name: value.cpu() for name, value in transfer.stack.trial(position).items()}
            for position in range(transfer.stack.num_trials)
        ]
        lora = self.planned.phase.lora
        return [merged(self.stages, weights, lora) for weights in found] if lora else found
