"""Regularisers, each trial's own: what they change in a step of the trials that train side by side."""

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pytorch_lightning as pl
import torch
from torch import nn
from torch.nn.functional import cross_entropy

from graft.errors import GraftError
from graft.seed import stream_seed
from graft.training.averaging import AverageWeights
from graft.training.trials import TrialStack


@dataclass(frozen=True)
class Regularize:
    """How training is regularised, apart from dropout, augmentation and the optimiser's weight decay.

    Args:
        label_smoothing: probability mass that goes from the label to all classes evenly.
        clip: largest norm of one trial's gradient; None leaves it.
        mixup: alpha of the Beta distribution of mixed images' shares (Zhang et al. 2018); 0 mixes none.
        cutmix: alpha of the Beta distribution of pasted rectangles' areas (Yun et al. 2019); 0 pastes none.
        ema: decay of the exponential moving average of the weights, which is what is evaluated and kept; 0: none.
        l2_sp: pull of the thawed stages towards the weights that they start from (Li et al. 2018): half of it times
            the squared distance is added to the loss.
    """

    label_smoothing: float = 0.0
    clip: float | None = None
    mixup: float = 0.0
    cutmix: float = 0.0
    ema: float = 0.0
    l2_sp: float = 0.0

    def callbacks(self) -> list[pl.Callback]:
        """Return what a fit needs beside its objective."""
        return [AverageWeights(self.ema)] if self.ema else []


class Objective:
    """What the training steps of several trials minimise.

    Args:
        regularize: the regularisers.
        seeds: one for each trial.
        class_weights: weight of each class in each trial's loss, (trials, classes).
    """

    def __init__(self, regularize: Regularize, seeds: Sequence[int], class_weights: torch.Tensor | None = None):
        self.regularize, self.class_weights = regularize, class_weights
        self.mix: Mix | None = None
        if regularize.mixup or regularize.cutmix:
            self.mix = Mix(regularize.mixup, regularize.cutmix, seeds)
        self._start: dict[str, torch.Tensor] = {}

    def state_dict(self) -> dict[str, Any]:
        """Return what a fit that goes on needs: where L2-SP began, and the random states of mixing."""
        random = self.mix.random if self.mix else []
        return {"start": self._start, "mix": [own.bit_generator.state for own in random]}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Take up what `state_dict` returned."""
        self._start = state["start"]
        for own, found in zip(self.mix.random if self.mix else [], state["mix"], strict=True):
            own.bit_generator.state = found

    def losses(self, logits: torch.Tensor, labels: torch.Tensor) -> torch.Tensor:
        """Return each image's loss, (trials, batch), from logits, (trials, batch, classes), and labels."""
        smoothing = self.regularize.label_smoothing
        losses = cross_entropy(
            logits.flatten(0, 1), labels.flatten(), reduction="none", label_smoothing=smoothing
        ).view_as(labels)
        return losses if self.class_weights is None else losses * self.class_weights.gather(1, labels)

    def step(self, trials: TrialStack, forward: Callable, inputs: torch.Tensor, labels: torch.Tensor):
        """Return logits, (trials, batch, classes), and each image's loss, (trials, batch), of one training step.

        Args:
            trials: the networks, whose weights L2-SP remembers at the first step.
            forward: maps inputs to logits.
            inputs: a batch, (trials, batch, ...).
            labels: its classes, (trials, batch).
        """
        if self.regularize.l2_sp and not self._start:
            thawed = {name: value for name, value in trials.named().items() if name.startswith("stages.")}
            self._start = {name: value.detach().clone() for name, value in thawed.items()}
        if self.mix is None:
            logits = forward(inputs)
            return logits, self.losses(logits, labels)
        inputs, partners, share = self.mix(inputs)
        logits = forward(inputs)
        own, other = self.losses(logits, labels), self.losses(logits, labels.gather(1, partners))
        return logits, torch.lerp(other, own, share)

    @torch.no_grad()
    def adjust_gradients(self, trials: TrialStack) -> None:
        """Add L2-SP's gradients, then shorten each trial's that is too long."""
        parameters = trials.named()
        for name, start in self._start.items():
            gradient = parameters[name].grad
            if gradient is not None:
                gradient.add_(parameters[name] - start, alpha=self.regularize.l2_sp)
        if self.regularize.clip is not None:
            clip([value.grad for value in parameters.values() if value.grad is not None], self.regularize.clip, trials)


def clip(gradients: Iterable[torch.Tensor], largest: float, trials: TrialStack) -> None:
    """Shorten each trial's gradient to a norm of at most `largest`, in place."""
    gradients = list(gradients)
    squares = [gradient.reshape(trials.num_trials, -1).square().sum(1) for gradient in gradients]
    factor = (largest / (torch.stack(squares).sum(0).sqrt() + 1e-6)).clamp(max=1)
    for gradient in gradients:
        gradient.mul_(factor.view(-1, *[1] * (gradient.ndim - 1)))


class Mix:
    """Mixup and cutmix; where both are on, each trial takes one or the other for a batch, evenly.

    Args:
        mixup: alpha of mixup, or 0.
        cutmix: alpha of cutmix, or 0.
        seeds: one for each trial.
    """

    def __init__(self, mixup: float, cutmix: float, seeds: Sequence[int]):
        self.mixup, self.cutmix = mixup, cutmix
        self.random = [np.random.default_rng(stream_seed(seed, "mix")) for seed in seeds]

    def __call__(self, inputs: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
        """Mix each input with another one of its trial's batch.

        Args:
            inputs: images or features, (trials, batch, ...); cutmix needs (trials, batch, channels, height, width).

        Returns:
            The mixtures; the partners' places in the batch, (trials, batch); the inputs' own shares, (trials, 1).

        Raises:
            GraftError: cutmix has no height and width to paste into.
        """
        if self.cutmix and inputs.ndim != 5:
            raise GraftError("regularize.cutmix pastes rectangles, but what is stored has no height and width")
        shape, masks, partners = inputs.shape, [], []
        for random in self.random:
            masks.append(self._mask(random, shape[3:] if self.cutmix else ()))
            partners.append(random.permutation(shape[1]))
        # (trials, 1, 1, height, width), or as many ones as there are dimensions
        mask = torch.from_numpy(np.stack(masks)).to(inputs.device, torch.float32)
        share = mask.view(len(mask), -1).mean(1, keepdim=True)
        mask = mask[:, None, None] if self.cutmix else mask.view(-1, *[1] * (inputs.ndim - 1))
        order = torch.from_numpy(np.stack(partners)).to(inputs.device)
        rows = order + shape[1] * torch.arange(shape[0], device=inputs.device)[:, None]
        other = inputs.flatten(0, 1).index_select(0, rows.flatten()).view(shape)
        return torch.lerp(other.float(), inputs.float(), mask), order, share

    def _mask(self, random: np.random.Generator, size: Sequence[int]) -> np.ndarray:
        """Return the share that an input keeps: one number, or one for each pixel where cutmix is possible."""
        if not self.cutmix or (self.mixup and random.random() < 0.5):
            return np.full(size, random.beta(self.mixup, self.mixup))
        height, width = size
        side = np.sqrt(random.beta(self.cutmix, self.cutmix))
        rows, columns = int(height * side), int(width * side)
        top, left = random.integers(height - rows + 1), random.integers(width - columns + 1)
        mask = np.ones(size)
        mask[top : top + rows, left : left + columns] = 0
        return mask


def weight_decay_groups(parameters: Mapping[str, nn.Parameter], stacked: bool) -> list[dict[str, Any]]:
    """Divide parameters into a group that weight decay shrinks, and biases and norms, which it spares.

    Args:
        parameters: by name.
        stacked: whether they have a leading trial axis.
    """
    decayed = [value for value in parameters.values() if value.ndim - stacked > 1]
    spared = [value for value in parameters.values() if value.ndim - stacked <= 1]
    return [{"params": decayed}, {"params": spared, "weight_decay": 0.0}]
