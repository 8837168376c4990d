"""LoRA: low-rank updates of attention's weights, beside frozen ones (Hu et al. 2021, arXiv 2106.09685).

peft keeps each network's frozen weights as its parameters, which the trial axis would copy for every trial.
"""

import copy
import math
import re

import torch
from torch import nn
from torch.func import functional_call

from graft.model.stages import Weights

# The weights of attention's linear layers, as timm and torchvision name them.
ATTENTION = re.compile(
    r"(.*\.)?(attn|self_attention|attention)\.(qkv|q_proj|k_proj|v_proj|proj|out_proj|in_proj)(\.weight|_weight)"
)


def attention_weights(stages: nn.Module) -> list[str]:
    """Return the names of the weights of attention's linear layers, (outputs, inputs) each."""
    return [name for name, value in stages.named_parameters() if ATTENTION.fullmatch(name) and value.dim() == 2]


class Frozen:
    """A module that does not train and that copies of its owner share: the trials of a stack have one.

    It is no submodule, so that its weights are in no state dict, no optimizer and no stack.
    """

    def __init__(self, module: nn.Module):
        self._placed = {self._place(next(module.parameters())): module.requires_grad_(False).eval()}

    def like(self, tensor: torch.Tensor) -> nn.Module:
        """Return the module on a tensor's device, in its type."""
        place = self._place(tensor)
        if place not in self._placed:
            first = next(iter(self._placed.values()))
            self._placed[place] = copy.deepcopy(first).to(device=tensor.device, dtype=tensor.dtype)
        return self._placed[place]

    def __deepcopy__(self, memo: dict) -> "Frozen":
        return self

    @staticmethod
    def _place(tensor: torch.Tensor) -> tuple[torch.device, torch.dtype]:
        return tensor.device, tensor.dtype


class Adapted(nn.Module):
    """Frozen stages with a trained update of each weight W of attention: W + alpha / rank * B A.

    Only A, (rank, inputs), and B, (outputs, rank), are parameters. A starts with uniform random numbers as peft's, B
    with zeros, so that the stages at first compute what they did. They stay in evaluation mode.

    Args:
        stages: they are shared, not copied.
        rank: of the updates.
        alpha: their scale is alpha / rank.

    Example:
        >>> from torchvision.models.vision_transformer import EncoderBlock
        >>> block = EncoderBlock(2, 8, 16, 0.0, 0.0, nn.LayerNorm)
        >>> adapted = Adapted(block, rank=2, alpha=4)
        >>> [(name, tuple(value.shape)) for name, value in adapted.named_parameters()][:2]
        [('a.0', (2, 8)), ('a.1', (2, 8))]
        >>> tokens = torch.rand(3, 5, 8)
        >>> torch.allclose(adapted(tokens), block(tokens), atol=1e-6)
        True
    """

    def __init__(self, stages: nn.Module, rank: int, alpha: float):
        super().__init__()
        self.frozen, self.scale = Frozen(stages), alpha / rank
        self.names = attention_weights(stages)
        shapes = [stages.get_parameter(name).shape for name in self.names]
        self.a = nn.ParameterList(torch.empty(rank, inputs) for _, inputs in shapes)
        self.b = nn.ParameterList(torch.zeros(outputs, rank) for outputs, _ in shapes)
        for each in self.a:
            nn.init.kaiming_uniform_(each, a=math.sqrt(5))

    def forward(self, inputs: torch.Tensor) -> torch.Tensor:
        updates = list(zip(self.names, self.a, self.b, strict=True))
        module = self.frozen.like(updates[0][1])
        whole = {name: module.get_parameter(name) + self.scale * (b @ a) for name, a, b in updates}
        return functional_call(module, whole, inputs)


def merged(stages: nn.Module, weights: Weights, lora: tuple[int, float]) -> Weights:
    """Return a trained network's state dict as if its stages had trained as a whole.

    Args:
        stages: with their frozen weights.
        weights: the network's state dict, with `stages.a.0`, `stages.b.0` and so on; others, such as the head's, stay.
        lora: rank and alpha of the updates.
    """
    rank, alpha = lora
    whole = {f"stages.{name}": value.detach().cpu().clone() for name, value in stages.state_dict().items()}
    for number, name in enumerate(attention_weights(stages)):
        whole[f"stages.{name}"] += alpha / rank * (weights[f"stages.b.{number}"] @ weights[f"stages.a.{number}"])
    rest = {name: value for name, value in weights.items() if not name.startswith("stages.")}
    return whole | rest
