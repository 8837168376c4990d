"""The trial axis: one network per trial, and all trials take each training step together."""

import copy
import functools
from collections.abc import Callable, Sequence

import torch
from torch import nn
from torch.func import functional_call, stack_module_state, vmap

from graft.errors import GraftError
from graft.model.batch_norm import freeze_batch_norm_stats, has_frozen_batch_norm, has_trainable_batch_norm_stats
from graft.model.dropout import Masks, replace_dropout
from graft.model.layers import convolutions

Run = Callable[..., torch.Tensor]  # maps one trial's key, weights and inputs to logits

MAX_STACK_BYTES = 2**31  # for the weights, gradients and optimizer state of the trials that train together
LOOP_THRESHOLD = 500_000  # on a CPU, trials run one after another if convolution weights x batch size reach this


class TrialStack(nn.Module):
    """Networks of one architecture, one per trial, that take each step together.

    Every parameter and buffer is stacked along a leading trial axis, and one optimizer updates all trials. A forward
    pass runs the trials in one of two ways, with the same results up to rounding:

    - under `vmap`, which makes batched products of the trials' products, because a small head leaves the processor
      idle;
    - one after another, if they are large convolutions on a CPU: `vmap` makes grouped convolutions, which are slow
      there.

    Milliseconds per step (2 cores, 2026-11-24):

        networks                        batch  vmap  loop
        15 of the lecture's for digits      4    21    25
        15 of the lecture's for digits     32   124    85
        15 of the lecture's for CIFAR-10   32   283   184
        5 last blocks of VGG-16             4   125    87
        5 last blocks of VGG-16            32   450   196

    A single network runs unchanged, but for the masks of its `nn.Dropout` layers, which `masks` gives in all ways. A
    network that cannot be stacked must be the only one: batch norm in training, for example, counts its batches in
    place, and other random layers than `nn.Dropout` draw from a generator that all trials would share.

    Args:
        networks: networks of one architecture with their trials' initial weights, in training mode; batch norm in
            evaluation mode keeps its running statistics.
        memory_format: memory format of the maps that convolutions read.
        masks: each trial's dropout masks; None: those of the seeds 0, 1, 2 and so on.

    Raises:
        ValueError: several networks have batch norm in training.

    Example:
        >>> networks = [nn.Sequential(nn.Linear(4, 8), nn.ReLU(), nn.Linear(8, 3)) for _ in range(2)]
        >>> stack = TrialStack(networks)
        >>> inputs = torch.rand(2, 5, 4)  # (trials, batch, features)
        >>> logits = stack(inputs)
        >>> logits.shape
        torch.Size([2, 5, 3])
        >>> torch.allclose(logits[1], networks[1](inputs[1]), atol=1e-6)
        True
        >>> {name: tuple(weight.shape) for name, weight in stack.weights().items()}
        {'0.weight': (2, 8, 4), '0.bias': (2, 8), '2.weight': (2, 3, 8), '2.bias': (2, 3)}
        >>> networks[0].load_state_dict(stack.trial(1))
        <All keys matched successfully>
    """

    def __init__(
        self,
        networks: Sequence[nn.Module],
        memory_format: torch.memory_format = torch.channels_last,
        masks: Masks | None = None,
    ):
        super().__init__()
        self.num_trials, self._memory_format = len(networks), memory_format
        self.masks = masks or Masks(range(self.num_trials))
        self._has_frozen_batch_norm = has_frozen_batch_norm(networks[0])
        self.network = networks[0].to(memory_format=memory_format) if self.num_trials == 1 else None
        if self.network is None:
            self._stack(networks)
        else:
            replace_dropout(self.network, self.masks)

    def _stack(self, networks: Sequence[nn.Module]) -> None:
        """Register the networks' parameters and buffers, each stacked to (trials, ...)."""
        if has_trainable_batch_norm_stats(networks[0]):
            raise ValueError("networks with batch norm in training cannot be stacked; give one")
        self._num_kernel_weights = sum(module.weight.numel() for module in convolutions(networks[0]))
        # The architecture without weights, which `functional_call` runs with those of a trial. It is in a list, because
        # a submodule's parameters, here without values, would be found by `parameters()` and `state_dict()`.
        self._template = [copy.deepcopy(networks[0]).to("meta")]
        replace_dropout(self._template[0], self.masks)
        # Weights of dense layers are stored as (trials, inputs, outputs), the layout in which a batched product's
        # gradient is computed: a step of 15 heads 1600-512-5 takes 26 ms; with (trials, outputs, inputs) each gradient
        # is transposed, and it takes 66 ms (2 cores, before `keep_memory`, 2026-11-23).
        self._transposed = {
            f"{name}.weight" for name, module in networks[0].named_modules() if isinstance(module, nn.Linear)
        }
        parameters, buffers = stack_module_state(list(networks))
        self._names = [*parameters, *buffers]  # as in one network
        for name, value in parameters.items():
            value = value.detach().mT.contiguous() if name in self._transposed else value.detach()
            self.register_parameter(_without_dots(name), nn.Parameter(value))
        for name, value in buffers.items():
            self.register_buffer(_without_dots(name), value)

    def forward(self, inputs: torch.Tensor, first: int = 0) -> torch.Tensor:
        """Map inputs, (trials, batch, ...) or (1, batch, ...) for all trials, to (trials, batch, classes).

        Args:
            inputs: this rank's part of a batch.
            first: position of its first image in the whole batch.
        """
        network = self.network or functools.partial(functional_call, self._template[0])
        run, keys = self.masks.masked(network, inputs.shape[1], first), self.masks.keys(inputs.device)
        if self.network is not None:
            logits = run(keys[0], self._formatted(inputs[0]))[None]
        else:
            self._set_mode_of_template()
            large = self._num_kernel_weights * inputs.shape[1] >= LOOP_THRESHOLD
            way = self._loop if large and inputs.device.type == "cpu" else self._vmap
            logits = way(run, keys, inputs)
        self.masks.steps += self.training
        return logits

    def _vmap(self, run: Run, keys: torch.Tensor, inputs: torch.Tensor) -> torch.Tensor:
        """Run all trials at once; an error if a layer draws random numbers, which would not be its trial's own."""
        if len(inputs) == 1:
            return vmap(run, in_dims=(0, 0, None), randomness="error")(keys, self.weights(), inputs[0])
        return vmap(run, randomness="error")(keys, self.weights(), inputs)

    def _loop(self, run: Run, keys: torch.Tensor, inputs: torch.Tensor) -> torch.Tensor:
        """Run one trial after another."""
        # The gradient of `unbind` is one stack; that of indexing would be a sum of zero-padded tensors.
        unbound = {name: value.unbind() for name, value in self.weights().items()}
        weights = [{name: values[trial] for name, values in unbound.items()} for trial in range(self.num_trials)]
        if len(inputs) == 1:  # each trial gets a copy, because a network may change its inputs in place
            inputs = inputs.expand(self.num_trials, *inputs.shape[1:]).clone()
        formatted = [self._formatted(one_trial) for one_trial in inputs]
        return torch.stack([run(*trial) for trial in zip(keys, weights, formatted, strict=True)])

    def _formatted(self, inputs: torch.Tensor) -> torch.Tensor:
        """Return one trial's inputs, maps of (batch, channels, height, width) in the memory format."""
        # Unlike `contiguous()`, `to()` also sets the strides of one-channel images; PyTorch chooses kernels by them.
        return inputs.to(memory_format=self._memory_format) if inputs.dim() == 4 else inputs

    def _set_mode_of_template(self) -> None:
        """Set the template to training or evaluation mode, as the stack is."""
        # Not done in `train()`: after a validation Lightning restores `training` of each module without calling it.
        if self._template[0].training != self.training:
            self._template[0].train(self.training)
            if self._has_frozen_batch_norm:
                freeze_batch_norm_stats(self._template[0])

    def train(self, mode: bool = True) -> "TrialStack":
        super().train(mode)
        if self._has_frozen_batch_norm:
            freeze_batch_norm_stats(self)
        return self

    def get_extra_state(self) -> torch.Tensor:
        """Return the number of training steps; with it, a fit that resumes goes on with its masks."""
        return torch.tensor(self.masks.steps)

    def set_extra_state(self, state: torch.Tensor) -> None:
        self.masks.steps = int(state)

    def weights(self) -> dict[str, torch.Tensor]:
        """Return parameters and buffers by their names in one network, each (trials, ...), in their usual layout."""
        if self.network is not None:
            return {name: value[None] for name, value in self.network.state_dict(keep_vars=True).items()}
        values = {name: getattr(self, _without_dots(name)) for name in self._names}
        return {name: value.mT if name in self._transposed else value for name, value in values.items()}

    def named(self) -> dict[str, nn.Parameter]:
        """Return the parameters that train, in the layout in which they are stored, by their names in one network."""
        if self.network is not None:
            return dict(self.network.named_parameters())
        parameters = dict(self.named_parameters())
        return {name: parameters[_without_dots(name)] for name in self._names if _without_dots(name) in parameters}

    def trial(self, trial: int) -> dict[str, torch.Tensor]:
        """Return one trial's weights as the state dict of one network."""
        return {name: value[trial].detach() for name, value in self.weights().items()}


def _without_dots(name: str) -> str:
    return name.replace(".", "/")  # PyTorch allows no dots in the name of a parameter


def stackable(network: nn.Module, input_shape: Sequence[int]) -> bool:
    """Return whether several copies of the network can train as one stack.

    Args:
        network: one trial's network, in training mode except for frozen batch norm.
        input_shape: shape of the network's input for one image.
    """
    if has_trainable_batch_norm_stats(network):
        return False
    template, masks = copy.deepcopy(network).to("meta"), Masks([0, 1])
    replace_dropout(template, masks)
    values = {**dict(template.named_parameters()), **dict(template.named_buffers())}
    stacked = {name: value.detach().expand(2, *value.shape) for name, value in values.items()}
    run = masks.masked(functools.partial(functional_call, template), 2)
    try:  # without data: only PyTorch knows which operations vmap supports
        with torch.device("meta") as meta:
            vmap(run, randomness="error")(masks.keys(meta), stacked, torch.empty(2, 2, *input_shape))
    except (RuntimeError, NotImplementedError, ValueError, AssertionError, TypeError):
        return False
    return True


def chunks(num_trials: int, at_once: int | str, network: nn.Module, input_shape: Sequence[int]) -> list[range]:
    """Divide trials into chunks that train together.

    Args:
        num_trials: number of trials.
        at_once: largest number of trials in a chunk; `auto`: as many as fit into 2 GiB.
        network: one trial's network.
        input_shape: shape of its input for one image.

    Raises:
        GraftError: `at_once` is above 1, but the network cannot be stacked.
    """
    if at_once == "auto":
        # Weights, gradients and Adam's two moments, four bytes each; of buffers, such as training images, the values.
        size = 16 * sum(parameter.numel() for parameter in network.parameters())
        size += 4 * sum(buffer.numel() for buffer in network.buffers())
        at_once = max(1, MAX_STACK_BYTES // max(size, 1))
        # Networks with batch norm are deep: one fit per trial adds little overhead and needs memory for one trial's
        # activations only.
        if min(at_once, num_trials) > 1 and (has_frozen_batch_norm(network) or not stackable(network, input_shape)):
            at_once = 1
    elif min(int(at_once), num_trials) > 1 and not stackable(network, input_shape):
        raise GraftError(
            f"trials_at_once={at_once}, but the networks cannot be stacked (batch norm in training, or random "
            "layers other than nn.Dropout, such as stochastic depth); try trials_at_once=auto"
        )
    step = min(int(at_once), num_trials)
    return [range(first, min(first + step, num_trials)) for first in range(0, num_trials, step)]
