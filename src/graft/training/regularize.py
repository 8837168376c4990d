"""Regularizers, applied to each trial separately although trials train together."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np
import torch
from torch.nn.functional import cross_entropy

from graft.errors import GraftError
from graft.seed import stream_seed
from graft.stack.trial_stack import TrialStack
from graft.training.loss_scale import by_trial


@dataclass(frozen=True)
class Regularize:
    """How training is regularized, apart from dropout, augmentation and the optimizer's weight decay.

    Args:
        label_smoothing: probability mass moved from the label to all classes evenly, in [0, 1).
        clip: largest gradient norm of a trial; None: no clipping.
        mixup: alpha of the Beta distribution of mixing shares (Zhang et al. 2018); 0: off.
        cutmix: alpha of the Beta distribution of pasted rectangles' areas (Yun et al. 2019); 0: off.
        ema: decay of the exponential moving average of the weights, which is evaluated and kept; 0: off.
        l2_sp: strength of the pull of unfrozen stages towards their initial weights (Li et al. 2018): l2_sp / 2 times
            the squared distance is added to the loss; 0: off.
    """

    label_smoothing: float = 0.0
    clip: float | None = None
    mixup: float = 0.0
    cutmix: float = 0.0
    ema: float = 0.0
    l2_sp: float = 0.0


class Pairing(NamedTuple):
    """How the inputs of a batch are mixed: each with another one of the same trial.

    Attributes:
        partners: index in the batch of each input's partner, (trials, batch).
        share: share of each input in its mixture, (trials, 1), in [0, 1]; the rest is the partner's.
    """

    partners: torch.Tensor
    share: torch.Tensor


class Objective:
    """What several trials minimize, each for itself: mixed inputs, weighted losses, adjusted gradients.

    A training step calls `mix`, the networks, `losses`, and after the backward pass `adjust_gradients`.

    Args:
        regularize: the regularizers.
        seeds: one for each trial.
        class_weights: weight of each class in each trial's loss, (trials, classes); None: all 1.
    """

    def __init__(self, regularize: Regularize, seeds: Sequence[int], class_weights: torch.Tensor | None = None):
        self.regularize, self.class_weights = regularize, class_weights
        self._mix: Mix | None = None
        if regularize.mixup or regularize.cutmix:
            self._mix = Mix(regularize.mixup, regularize.cutmix, seeds)
        self._initial: dict[str, torch.Tensor] = {}  # of L2-SP: the unfrozen stages' weights before the first step

    def state_dict(self) -> dict[str, Any]:
        """Return what a fit needs to resume: L2-SP's initial weights and the random states of mixing."""
        generators = self._mix.generators if self._mix else []
        return {"start": self._initial, "mix": [generator.bit_generator.state for generator in generators]}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Restore the state that `state_dict` returned."""
        self._initial = state["start"]
        for generator, random_state in zip(self._mix.generators if self._mix else [], state["mix"], strict=True):
            generator.bit_generator.state = random_state

    def mix(self, inputs: torch.Tensor) -> tuple[torch.Tensor, Pairing | None]:
        """Return a batch's inputs, (trials, batch, ...), mixed, and how; unchanged and None if mixing is off."""
        return (inputs, None) if self._mix is None else self._mix(inputs)

    def losses(self, logits: torch.Tensor, labels: torch.Tensor, pairing: Pairing | None = None) -> torch.Tensor:
        """Return each image's loss, (trials, batch).

        Args:
            logits: (trials, batch, classes).
            labels: classes of the inputs before mixing, (trials, batch).
            pairing: how the inputs were mixed; the losses of both labels are mixed equally.
        """
        losses = self._losses(logits, labels)
        if pairing is None:
            return losses
        return torch.lerp(self._losses(logits, labels.gather(1, pairing.partners)), losses, pairing.share)

    def _losses(self, logits: torch.Tensor, labels: torch.Tensor) -> torch.Tensor:
        smoothing = self.regularize.label_smoothing
        losses = cross_entropy(
            logits.flatten(0, 1), labels.flatten(), reduction="none", label_smoothing=smoothing
        ).view_as(labels)
        return losses if self.class_weights is None else losses * self.class_weights.gather(1, labels)

    @torch.no_grad()
    def adjust_gradients(self, stack: TrialStack) -> None:
        """Add L2-SP's gradients, then clip the gradient norm of each trial; call it before each optimizer step."""
        parameters = stack.named()
        if self.regularize.l2_sp and not self._initial:
            stages = {name: value for name, value in parameters.items() if name.startswith("stages.")}
            self._initial = {name: value.detach().clone() for name, value in stages.items()}
        for name, initial in self._initial.items():
            gradient = parameters[name].grad
            if gradient is not None:
                gradient.add_(parameters[name] - initial, alpha=self.regularize.l2_sp)
        if self.regularize.clip is not None:
            gradients = [value.grad for value in parameters.values() if value.grad is not None]
            clip(gradients, self.regularize.clip, stack.num_trials)


def clip(gradients: Iterable[torch.Tensor], max_norm: float, num_trials: int) -> None:
    """Scale each trial's gradient to a norm of at most `max_norm`, in place.

    Args:
        gradients: those of all parameters, each (trials, ...), or (...) of a single trial.
        max_norm: largest norm over all parameters of a trial.
        num_trials: number of trials.
    """
    gradients = list(gradients)
    squares = [gradient.reshape(num_trials, -1).square().sum(1) for gradient in gradients]
    factors = (max_norm / (torch.stack(squares).sum(0).sqrt() + 1e-6)).clamp(max=1)  # (trials,)
    for gradient in gradients:
        gradient.mul_(by_trial(factors, gradient))


class Mix:
    """Mixup and cutmix; if both are on, each trial takes one of them per batch with equal probability.

    Args:
        mixup: alpha of mixup; 0: off.
        cutmix: alpha of cutmix; 0: off.
        seeds: one for each trial.
    """

    def __init__(self, mixup: float, cutmix: float, seeds: Sequence[int]):
        self.mixup, self.cutmix = mixup, cutmix
        self.generators = [np.random.default_rng(stream_seed(seed, "mix")) for seed in seeds]

    def __call__(self, inputs: torch.Tensor) -> tuple[torch.Tensor, Pairing]:
        """Mix each input with another one of its trial's batch.

        Args:
            inputs: images or features, (trials, batch, ...); cutmix needs (trials, batch, channels, height, width).

        Returns:
            The mixed inputs, in the shape of `inputs`, and how they were mixed.

        Raises:
            GraftError: cutmix is on, but the inputs have no height and width.
        """
        if self.cutmix and inputs.ndim != 5:
            raise GraftError("regularize.cutmix pastes rectangles, but the stored features have no height and width")
        num_trials, batch_size = inputs.shape[:2]
        masks, permutations = [], []
        for generator in self.generators:  # one mask for all images of a trial's batch
            masks.append(self._mask(generator, inputs.shape[3:] if self.cutmix else ()))
            permutations.append(generator.permutation(batch_size))
        # (trials, height, width) with cutmix, otherwise (trials,); the mean over pixels is the input's share.
        mask = torch.from_numpy(np.stack(masks)).to(inputs.device, torch.float32)
        share = mask.view(num_trials, -1).mean(1, keepdim=True)
        # (trials, 1, 1, height, width) with cutmix, otherwise (trials, 1, ...).
        mask = mask[:, None, None] if self.cutmix else mask.view(-1, *[1] * (inputs.ndim - 1))
        partners = torch.from_numpy(np.stack(permutations)).to(inputs.device)
        # Rows of (trials x batch, ...): trial k's begin at k x batch size.
        rows = partners + batch_size * torch.arange(num_trials, device=inputs.device)[:, None]
        others = inputs.flatten(0, 1).index_select(0, rows.flatten()).view(inputs.shape)
        return torch.lerp(others.float(), inputs.float(), mask), Pairing(partners, share)

    def _mask(self, generator: np.random.Generator, size: Sequence[int]) -> np.ndarray:
        """Draw the share of the input in a mixture: for each pixel, (height, width), or without cutmix, ()."""
        if not self.cutmix or (self.mixup and generator.random() < 0.5):
            return np.full(size, generator.beta(self.mixup, self.mixup))
        height, width = size
        side = np.sqrt(generator.beta(self.cutmix, self.cutmix))  # of the rectangle, as a share of the image's side
        rows, columns = int(height * side), int(width * side)
        top, left = generator.integers(height - rows + 1), generator.integers(width - columns + 1)
        mask = np.ones(size)
        mask[top : top + rows, left : left + columns] = 0
        return mask


def parameter_groups(stack: TrialStack, lr: float, lr_decay: float, lr_factor: float) -> list[dict[str, Any]]:
    """Return the parameters by stage, each stage with its learning rate; biases and norms have no weight decay.

    A stage's rate is `lr * lr_factor * lr_decay ** d`, where d is its distance to the last stage; the head's is `lr`.
    LoRA's updates have the rate of the last stage.

    Args:
        stack: the trials' networks.
        lr: the head's learning rate.
        lr_decay: layer-wise decay, in (0, 1].
        lr_factor: above 0.
    """
    named = stack.named()
    numbers = {name: int(name.split(".")[1][len("stage") :]) for name in named if name.startswith("stages.stage")}
    last = max(numbers.values(), default=0)
    groups: dict[tuple[float, bool], dict[str, Any]] = {}
    for name, parameter in named.items():
        distance = last - numbers.get(name, last)
        rate = lr * lr_factor * lr_decay**distance if name.startswith("stages.") else lr
        is_vector = parameter.ndim - (stack.num_trials > 1) <= 1
        group = {"params": [], "lr": rate} | ({"weight_decay": 0.0} if is_vector else {})
        groups.setdefault((rate, is_vector), group)["params"].append(parameter)
    return list(groups.values())
