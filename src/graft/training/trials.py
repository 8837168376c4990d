"""The trial axis: copies of one network that take each step together."""

import copy
import math
from collections.abc import Sequence

import torch
from torch import nn
from torch.func import functional_call, stack_module_state, vmap

from graft.errors import GraftError
from graft.model.batch_norm import freeze_batch_norm_stats, has_frozen_batch_norm, has_trainable_batch_norm_stats

MEMORY_OF_A_STACK = 2**31  # bytes of weights, gradients and optimiser state that one stack may take
IN_TURN = 500_000  # a trial's kernel weights times images of its batch, from which on trials take turns on a CPU


class TrialStack(nn.Module):
    """One network for each trial; all of them take each step together.

    Every parameter is stacked along a leading trial axis, and the network runs under `vmap`, as batched products: a
    small head leaves the processor idle. But `vmap` makes grouped convolutions, which are slow on a CPU. There trials
    run one after another within the step, unless it is a small one. Milliseconds of a step (2 cores, 2026-11-24):

        networks                        batch  vmap  in turn
        15 of the lecture's for digits      4    21       25
        15 of the lecture's for digits     32   124       85
        15 of the lecture's for CIFAR-10   32   283      184
        5 last blocks of VGG-16             4   125       87
        5 last blocks of VGG-16            32   450      196

    A single network runs as it is. So must be whatever cannot be stacked: batch norm in training counts its batches in
    place.

    Dense weights are stored as (trials, inputs, outputs), the order in which the gradient of a batched product
    comes out: a step of 15 heads 1600-512-5 takes 26 ms so, and 66 ms where it must turn every gradient around
    (2 cores, before `keep_memory`, 2026-11-23).

    Args:
        networks: networks of one architecture, each with the weights that its trial starts from, in training mode;
            batch norm that is in evaluation mode stays so.
        memory_format: in which maps run.
    """

    def __init__(self, networks: Sequence[nn.Module], memory_format: torch.memory_format = torch.channels_last):
        super().__init__()
        self.num_trials, self._memory_format = len(networks), memory_format
        self._kernels = sum(module.weight.numel() for module in convolutions(networks[0]))
        self._norm_held = has_frozen_batch_norm(networks[0])
        self.network = networks[0].to(memory_format=memory_format) if self.num_trials == 1 else None
        if self.network is not None:
            return
        if has_trainable_batch_norm_stats(networks[0]):
            raise ValueError("networks with batch norm in training cannot be stacked; give one")
        # The template has no weights of its own and must not be found by `parameters()`.
        self._template = [copy.deepcopy(networks[0]).to("meta")]
        self._turned = {
            f"{name}.weight" for name, module in networks[0].named_modules() if isinstance(module, nn.Linear)
        }
        parameters, buffers = stack_module_state(list(networks))
        for name, value in parameters.items():
            value = value.detach().mT.contiguous() if name in self._turned else value.detach()
            self.register_parameter(_registered(name), nn.Parameter(value))
        for name, value in buffers.items():
            self.register_buffer(_registered(name), value)
        self._names = [*parameters, *buffers]

    def forward(self, inputs: torch.Tensor) -> torch.Tensor:
        """Map inputs, (trials, batch, ...) or (1, batch, ...) for all trials, to (trials, batch, classes)."""
        if self.network is not None:
            return self.network(self._laid_out(inputs[0]))[None]
        # Not in `train()`: after a validation Lightning sets each module's `training` without calling it.
        if self._template[0].training != self.training:
            self._template[0].train(self.training)
            if self._norm_held:
                freeze_batch_norm_stats(self._template[0])
        if self._kernels * inputs.shape[1] >= IN_TURN and inputs.device.type == "cpu":
            return self._in_turn(inputs)
        shared = len(inputs) == 1
        return vmap(self._one, in_dims=(0, None if shared else 0), randomness="different")(
            self.weights(), inputs[0] if shared else inputs
        )

    def _in_turn(self, inputs: torch.Tensor) -> torch.Tensor:
        values = {name: value.unbind() for name, value in self.weights().items()}
        weights = [{name: each[trial] for name, each in values.items()} for trial in range(self.num_trials)]
        if len(inputs) == 1:  # a network may change its inputs in place, which the next trial must not see
            inputs = inputs.expand(self.num_trials, *inputs.shape[1:]).clone()
        maps = [self._laid_out(one) for one in inputs]
        return torch.stack([self._one(*pair) for pair in zip(weights, maps, strict=True)])

    def _laid_out(self, inputs: torch.Tensor) -> torch.Tensor:
        # Unlike `contiguous()`, `to()` gives an image of one channel the strides by which convolutions choose.
        return inputs.to(memory_format=self._memory_format) if inputs.dim() == 4 else inputs

    def train(self, mode: bool = True) -> "TrialStack":
        super().train(mode)
        if self._norm_held:
            freeze_batch_norm_stats(self)
        return self

    def _one(self, weights: dict[str, torch.Tensor], inputs: torch.Tensor) -> torch.Tensor:
        return functional_call(self._template[0], weights, (inputs,))

    def weights(self) -> dict[str, torch.Tensor]:
        """Return all trials' weights under the names that one network gives them, each (trials, ...)."""
        if self.network is not None:
            return {name: value[None] for name, value in self.network.state_dict(keep_vars=True).items()}
        values = {name: getattr(self, _registered(name)) for name in self._names}
        return {name: value.mT if name in self._turned else value for name, value in values.items()}

    def named(self) -> dict[str, nn.Parameter]:
        """Return the parameters as they are held, under the names that one network gives them."""
        if self.network is not None:
            return dict(self.network.named_parameters())
        held = dict(self.named_parameters())
        return {name: held[_registered(name)] for name in self._names if _registered(name) in held}

    def trial(self, trial: int) -> dict[str, torch.Tensor]:
        """Return one trial's weights, as one network's state dict."""
        return {name: value[trial].detach() for name, value in self.weights().items()}


def _registered(name: str) -> str:
    return name.replace(".", "/")  # PyTorch allows no dots in the name of a parameter


def stackable(network: nn.Module, inputs: Sequence[int]) -> bool:
    """Return whether several copies of the network can train as one stack.

    Args:
        network: one trial's, in training mode, but for batch norm that is held.
        inputs: shape of what it takes for one image.
    """
    if has_trainable_batch_norm_stats(network):
        return False
    template = copy.deepcopy(network).to("meta")
    values = {**dict(template.named_parameters()), **dict(template.named_buffers())}
    stacked = {name: value.detach().expand(2, *value.shape) for name, value in values.items()}

    def one(weights: dict[str, torch.Tensor], batch: torch.Tensor) -> torch.Tensor:
        return functional_call(template, weights, (batch,))

    try:  # on no data: only PyTorch knows which of a library's operations it can stack
        with torch.device("meta"):
            vmap(one, randomness="different")(stacked, torch.empty(2, 2, *inputs))
    except (RuntimeError, NotImplementedError, ValueError, AssertionError, TypeError):
        return False
    return True


def convolutions(network: nn.Module) -> list[nn.Conv2d]:
    """Return a network's convolutions."""
    return [module for module in network.modules() if isinstance(module, nn.Conv2d)]


def fastest_format(network: nn.Module, inputs: Sequence[int], device: torch.device) -> torch.memory_format:
    """Return the order of memory in which maps train faster.

    Channels last: the lecture's networks take 1.4 times as long for a step without, EfficientNet's last blocks 1.4 to
    3 times. But on a CPU, where maps have few positions and kernels many weights, plain order: VGG-16's last block
    takes 68 ms for maps of 2x2 and 84 ms with channels last, ResNet-18's 36 and 53 ms; the two meet at 4x4 to 6x6.
    Grouped kernels have few weights (batches of 32, one thread, 2026-11-24).

    Args:
        network: one trial's.
        inputs: shape of what it takes for one image.
        device: where it trains.
    """
    kernels = convolutions(network)
    tiny = len(inputs) == 3 and math.prod(inputs[1:]) <= 16 and device.type == "cpu"
    plain = not kernels or (tiny and all(kernel.groups == 1 for kernel in kernels))
    return torch.contiguous_format if plain else torch.channels_last


def chunks(trials: int, at_once: int | str, network: nn.Module, inputs: Sequence[int]) -> list[range]:
    """Divide trials into those that train together.

    Args:
        trials: how many there are.
        at_once: how many at most train together; `auto` takes as many as fit into 2 GiB.
        network: one trial's network.
        inputs: shape of what it takes for one image.

    Raises:
        GraftError: several are asked for at once, but the network cannot be stacked.
    """
    if at_once == "auto":
        # Weights, gradients and Adam's two moments, four bytes each.
        size = 16 * sum(parameter.numel() for parameter in network.parameters())
        at_once = max(1, MEMORY_OF_A_STACK // max(size, 1))
        # What has batch norm is deep: a fit for each trial costs little beside its steps, and holds one's activations.
        if min(at_once, trials) > 1 and (has_frozen_batch_norm(network) or not stackable(network, inputs)):
            at_once = 1
    elif min(int(at_once), trials) > 1 and not stackable(network, inputs):
        raise GraftError(
            f"trials_at_once={at_once}, but what trains here cannot be stacked (batch norm in training, stochastic "
            "depth); try trials_at_once=auto"
        )
    step = min(int(at_once), trials)
    return [range(first, min(first + step, trials)) for first in range(0, trials, step)]
