"""The trial axis: one network per trial, and all trials take each training step together."""

import copy
import functools
from collections.abc import Callable, Sequence

import torch
from torch import nn
from torch.func import functional_call, stack_module_state, vmap

from graft.model.batch_norm import frozen_batch_norms, has_trainable_batch_norm_stats
from graft.model.layers import num_kernel_weights, shares_weights
from graft.stack.dropout import Masks, replace_dropout
from graft.stack.grouped import group_layers, groups_batch_norm

Run = Callable[..., torch.Tensor]  # maps one trial's key, weights and inputs to logits

LOOP_BATCH = 16  # from so many images on, or so many weights of convolutions x images, trials take turns on a CPU
LOOP_WEIGHTS = 1_000_000


class TrialStack(nn.Module):
    """Networks of one architecture, one per trial, that take each step together.

    Every parameter and buffer is stacked along a leading trial axis, and one optimizer updates all trials. A forward
    pass runs the trials in one of two ways, with the same results up to rounding:

    - at once, under `vmap`, because a small network leaves the processor idle: dense layers become batched products,
      and on a CPU the maps of all trials pass through grouped convolutions (`graft/stack/grouped.py`);
    - one after another, if their convolutions or batches are large, and on a CPU, where grouped ones are slow then.

    `takes_turns` says which; docs/scaling.md has the times of both.

    A single network runs unchanged, but for the masks of its `nn.Dropout` layers, which `masks` gives in all ways. A
    network that cannot be stacked must be the only one: other random layers than `nn.Dropout` draw from a generator
    that all trials would share, and `nn.BatchNorm2d` is the only batch norm that may train.

    Args:
        networks: networks of one architecture with their trials' initial weights, in training mode; batch norm in
            evaluation mode keeps its running statistics.
        memory_format: memory format of the maps that convolutions read.
        masks: each trial's dropout masks; None: those of the seeds 0, 1, 2 and so on.

    Raises:
        ValueError: several networks have batch norm in training other than `nn.BatchNorm2d`, or layers that share
            weights.

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
        self._frozen_norms = frozen_batch_norms(networks[0])
        self.network = networks[0].to(memory_format=memory_format) if self.num_trials == 1 else None
        if self.network is None:
            self._stack(networks)
        else:
            replace_dropout(self.network, self.masks)

    def _stack(self, networks: Sequence[nn.Module]) -> None:
        """Register the networks' parameters and buffers, each stacked to (trials, ...)."""
        self._trains_batch_norm = has_trainable_batch_norm_stats(networks[0])
        if not groups_batch_norm(networks[0]):
            raise ValueError("networks with this batch norm in training cannot be stacked; give one")
        if shares_weights(networks[0]):  # the template, which has no values, would hold them apart
            raise ValueError("networks whose layers share weights cannot be stacked; give one")
        self._num_kernel_weights = num_kernel_weights(networks[0])
        # The architecture without weights, which `functional_call` runs with those of a trial, with usual and with
        # grouped layers. They are in a list, because a submodule's parameters, here without values, would be found by
        # `parameters()` and `state_dict()`.
        template = copy.deepcopy(networks[0]).to("meta")
        self._templates = [template, group_layers(copy.deepcopy(template))]
        for each in self._templates:
            replace_dropout(each, self.masks)
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
        if self.network is not None:
            run = self.masks.masked(self.network, inputs.shape[1], first)
            logits = run(self.masks.keys(inputs.device)[0], self._formatted(inputs[0]))[None]
        else:
            logits = self._all_trials(inputs, first)
        self.masks.steps += self.training
        return logits

    def _all_trials(self, inputs: torch.Tensor, first: int) -> torch.Tensor:
        """Run the trials at once, or one after another where that is faster."""
        on_cpu = inputs.device.type == "cpu"
        loops = on_cpu and takes_turns(self._num_kernel_weights, inputs.shape[1])
        grouped = not loops and (on_cpu or self._trains_batch_norm)
        network = functools.partial(functional_call, self._template(grouped))
        run, keys = self.masks.masked(network, inputs.shape[1], first), self.masks.keys(inputs.device)
        if loops:
            return self._loop(run, keys, inputs)
        shared = len(inputs) == 1
        # What a layer draws would not be its trial's own: an error.
        at_once = vmap(run, in_dims=(0, 0, None if shared else 0), randomness="error")
        return at_once(keys, self.weights(), inputs[0] if shared else inputs)

    def _template(self, grouped: bool) -> nn.Module:
        """Return the network without weights, in training or evaluation mode as the stack is."""
        template = self._templates[grouped]
        # Not done in `train()`: after a validation Lightning restores `training` of each module without calling it.
        if template.training != self.training:
            template.train(self.training)
            self._freeze_norms(template)
        return template

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

    def train(self, mode: bool = True) -> "TrialStack":
        super().train(mode)
        if self.network is not None:
            self._freeze_norms(self.network)
        return self

    def _freeze_norms(self, network: nn.Module) -> None:
        """Freeze the batch norm that was frozen at first; a head's trains on."""
        for name in self._frozen_norms:
            network.get_submodule(name).eval()

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


def takes_turns(num_kernel_weights: int, batch_size: int) -> bool:
    """Return whether the trials' networks are faster one after another than at once on a CPU.

    Args:
        num_kernel_weights: number of weights of one network's convolutions; dense layers alone are always at once.
        batch_size: number of images of each trial.
    """
    large = batch_size >= LOOP_BATCH or num_kernel_weights * batch_size >= LOOP_WEIGHTS
    return num_kernel_weights > 0 and large


def _without_dots(name: str) -> str:
    return name.replace(".", "/")  # PyTorch allows no dots in the name of a parameter
