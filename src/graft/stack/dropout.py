"""Dropout whose masks are a function of trial, step and layer, whatever else runs beside the trial or ran before it."""

import functools
import itertools
import math
from collections.abc import Callable, Iterator, Sequence
from typing import Any, NamedTuple

import torch
from torch import nn
from torch.func import vmap

from graft.seed import stream_seed

LEVELS = 2**16  # a value is dropped by 16 random bits, so rates are multiples of 1/65,536
MAX_LAYERS, MAX_WORDS = 2**8, 2**30  # dropout layers of a network; words of random bits in one of their masks
VALUES_AHEAD = 2**16  # of a layer's masks for the next steps, which one trial alone computes together


class Masks:
    """The dropout masks of some trials in one fit.

    A mask's random bits are a hash of its trial's seed, its step, its layer and a value's position in the batch. So
    they are the same for a trial that trains alone or beside others, on a CPU or a GPU, on one rank or several, and a
    fit that resumes needs only its number of steps. The hash is also faster than PyTorch's generator: with `vmap`
    dropout takes 0.24 instead of 1.04 ms for 15 trials' batches of 4 x 1,600 features (one thread, 2026-11-26). One
    trial's small masks cost as much as the number of their operations, so those of several steps are computed
    together; `python tests/benchmarks/trial_axis.py` compares one trial's steps with those of `nn.Dropout`.

    Args:
        seeds: one for each trial.
        purpose: name of the random streams; each phase of a job has its own.

    Attributes:
        steps: number of training steps that were taken.
    """

    def __init__(self, seeds: Sequence[int], purpose: str = "dropout"):
        self.steps = 0
        self._keys = torch.tensor([stream_seed(seed, purpose) for seed in seeds])
        self._pass: _Pass | None = None
        self._ahead: dict[int, _Ahead] = {}

    def keys(self, device: torch.device) -> torch.Tensor:
        """Return each trial's key, (trials,), of which a masked pass takes one, or all under `vmap`."""
        self._keys = self._keys.to(device)
        return self._keys

    def masked(self, run: Callable[..., torch.Tensor], batch_size: int, first: int = 0) -> Callable[..., torch.Tensor]:
        """Return a forward pass that takes a trial's key first and gives its masks to the dropout layers.

        Args:
            run: the forward pass.
            batch_size: number of images in it.
            first: position of the first of them in the whole batch, of which each rank takes a part.
        """

        def masked(key: torch.Tensor, *inputs: Any) -> torch.Tensor:
            self._pass = _Pass(key, batch_size, first, itertools.count())
            try:
                return run(*inputs)
            finally:
                self._pass = None

        return masked

    def next(self, rate: float, inputs: torch.Tensor) -> torch.Tensor:
        """Return the next layer's mask in the inputs' shape: 0 with this probability, otherwise 1 / (1 - rate)."""
        if self._pass is None:
            raise RuntimeError("dropout was called outside of a forward pass; try without activation checkpointing")
        key, batch_size, first, layers = self._pass
        rows, size = len(inputs), math.prod(inputs.shape[1:])  # a row is an image, or one of its windows
        place = _Place(next(layers), first * rows // batch_size, rate, size, inputs.device)
        num_steps = VALUES_AHEAD // max(rows * size, 1)
        if len(self._keys) > 1 or num_steps < 2:  # under `vmap` a key stands for all trials
            return _masks(key, place, self.steps, 1, rows).view(inputs.shape)
        ahead = self._ahead.get(place.layer)
        if ahead is None or not ahead.has(place, self.steps, rows):
            masks = _masks(key, place, self.steps, num_steps, rows)
            ahead = self._ahead[place.layer] = _Ahead(place, self.steps, masks)
        return ahead.masks[self.steps - ahead.step, :rows].view(inputs.shape)


class _Pass(NamedTuple):
    """A forward pass, with the arguments of `Masks.masked`; `layers` numbers its dropout layers as they are called."""

    key: torch.Tensor
    batch_size: int
    first: int
    layers: Iterator[int]


class _Place(NamedTuple):
    """What a mask depends on besides its trial, its step and its number of rows."""

    layer: int
    first_row: int
    rate: float
    size: int  # of a row
    device: torch.device


class _Ahead(NamedTuple):
    """Masks of the steps from `step` on, (steps, rows, size); an epoch's last batch may have fewer rows."""

    place: _Place
    step: int
    masks: torch.Tensor

    def has(self, place: _Place, step: int, rows: int) -> bool:
        num_steps, num_rows, _ = self.masks.shape
        return self.place == place and self.step <= step < self.step + num_steps and rows <= num_rows


def _masks(key: torch.Tensor, place: _Place, step: int, num_steps: int, rows: int) -> torch.Tensor:
    """Return the masks of a layer in some steps, (steps, rows, size)."""
    words = math.ceil(place.size / 4)  # each row begins with a word of its own
    start = (step * MAX_LAYERS + place.layer) * MAX_WORDS + place.first_row * words
    counters = torch.arange(start, start + rows * words, device=place.device)
    if num_steps > 1:
        steps = torch.arange(num_steps, device=place.device).mul_(MAX_LAYERS * MAX_WORDS)
        counters = (steps[:, None] + counters).flatten()
    bits = sixteens(splitmix64(key, counters))
    bits = bits.unflatten(0, (num_steps, rows, 4 * words))[..., : place.size]
    kept = min(max(round((1 - place.rate) * LEVELS), int(place.rate < 1)), LEVELS - 1)
    return (bits < kept - LEVELS // 2).float().mul_(LEVELS / max(kept, 1))


class MaskedDropout(nn.Dropout):
    """Dropout by the masks of a trial.

    Args:
        rate: probability of dropping a value, in [0, 1].
        masks: gives them in training.
    """

    def __init__(self, rate: float, masks: Masks):
        super().__init__(rate)
        self.masks = masks

    def forward(self, input: torch.Tensor) -> torch.Tensor:
        if not self.training or self.p == 0:
            return input
        return (input * self.masks.next(self.p, input)).to(input.dtype)


def replace_dropout(network: nn.Module, masks: Masks) -> None:
    """Let a network's dropout layers take their masks from `masks`; those of other kinds than `nn.Dropout` stay."""
    for name, module in list(network.named_modules(remove_duplicate=False)):
        if type(module) is nn.Dropout or type(module) is MaskedDropout:  # a subclass may do something else
            parent, _, own_name = name.rpartition(".")
            setattr(network.get_submodule(parent), own_name, MaskedDropout(module.p, masks).train(module.training))


def splitmix64(key: torch.Tensor, counters: torch.Tensor) -> torch.Tensor:
    """Return the outputs of SplitMix64 (Steele et al. 2014), 64 random bits each, at places of its sequence.

    Args:
        key: the generator's seed, without dimensions.
        counters: the places, (words,), counted from 1; changed in place.
    """
    state = counters.mul_(_signed(0x9E3779B97F4A7C15)) + key
    state = _xor_shifted(state, 30).mul_(_signed(0xBF58476D1CE4E5B9))
    state = _xor_shifted(state, 27).mul_(_signed(0x94D049BB133111EB))
    return _xor_shifted(state, 31)


def sixteens(words: torch.Tensor) -> torch.Tensor:
    """Return each word of 64 bits as four signed numbers of 16 bits, the lowest first, (4 * words,)."""
    if _vmap_has_views():
        return words.view(torch.int16)
    return ((words[:, None] << torch.tensor([48, 32, 16, 0], device=words.device)) >> 48).flatten()


@functools.cache
def _vmap_has_views() -> bool:
    """Return whether `vmap` knows views of another type, as PyTorch does from 2.13 on; they are twice as fast."""
    try:
        vmap(lambda words: words.view(torch.int16))(torch.zeros(1, 1, dtype=torch.int64))
    except RuntimeError:
        return False
    return True


def _xor_shifted(values: torch.Tensor, bits: int) -> torch.Tensor:
    """Return `values ^ (values >> bits)` of unsigned integers; PyTorch has signed ones, whose sign the mask removes."""
    return (values >> bits).bitwise_and_(2 ** (64 - bits) - 1).bitwise_xor_(values)


def _signed(value: int) -> int:
    """Return the signed integer with the bits of an unsigned one of 64 bits."""
    return value - 2**64 if value >= 2**63 else value
