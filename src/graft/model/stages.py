"""Splitting a library's network into stages whose weights keep the library's names."""

import copy
import itertools
from collections.abc import Iterable, Mapping, Sequence

import torch
from torch import nn

Weights = dict[str, torch.Tensor]


def all_finite(tensors: Iterable[torch.Tensor]) -> bool:
    """Return whether no value is NaN or infinite."""
    return all(bool(tensor.isfinite().all()) for tensor in tensors)


def units(network: nn.Module) -> dict[str, nn.Module]:
    """Return the network's children by path, in order; plain containers are replaced by their own children."""
    found: dict[str, nn.Module] = {}
    for name, child in network.named_children():
        parts = list(child.named_children())
        if type(child) in (nn.Sequential, nn.ModuleList) and parts:
            found |= {f"{name}.{path}": part for path, part in parts}
        else:
            found[name] = child
    return found


def nest(parts: Mapping[str, nn.Module]) -> nn.Sequential:
    """Return one module that runs these in order; each keeps its path in the network."""
    stage = nn.Sequential()
    for path, part in parts.items():
        *containers, name = path.split(".")
        inner = stage
        for container in containers:
            if not hasattr(inner, container):
                inner.add_module(container, nn.Sequential())
            inner = inner.get_submodule(container)
        inner.add_module(name, part)
    return stage


def stages(parts: Mapping[str, nn.Module], starts: Sequence[str]) -> list[nn.Module]:
    """Split modules into stages, each starting at a path in `starts`; modules before the first join the first stage."""
    groups: list[dict[str, nn.Module]] = [{}]
    for path, part in parts.items():
        if path in starts and groups[-1]:
            groups.append({})
        groups[-1][path] = part
    return [nest(group) for group in groups]


def evenly(blocks: Sequence[str], groups: int = 4) -> list[str]:
    """Divide blocks into groups, as even as possible; return the first block of each."""
    groups = min(groups, len(blocks))
    return [blocks[group * len(blocks) // groups] for group in range(groups)]


def has_weights(module: nn.Module) -> bool:
    """Return whether a module has parameters."""
    return next(module.parameters(), None) is not None


def computes_the_same(network: nn.Module, parts: Sequence[nn.Module], pool: nn.Module, size: int) -> bool:
    """Return whether stages, run one after another, have all the network's weights and compute the same features.

    One random image is enough, because every weight is changed a little first: none keeps a value, such as a zero bias
    or a unit scale, with which a missing weight would not show.

    Args:
        network: the library's; maps (1, 3, size, size) to features, (1, features).
        parts: its stages, which share its weights.
        pool: pools the last stage's output to features.
        size: height and width of an image that the network takes.
    """
    numbers = torch.Generator().manual_seed(0)
    names = {name for name, _ in network.state_dict().items()}
    if names != set(itertools.chain.from_iterable(part.state_dict() for part in parts)):
        return False
    network, staged = copy.deepcopy(
        (network, nn.Sequential(*parts, pool))
    )  # in one call: the copies still share their weights
    with torch.no_grad():
        for parameter in network.parameters():
            parameter += 0.02 * torch.randn(parameter.shape, generator=numbers)
        image = torch.rand(1, 3, size, size, generator=numbers)
        expected = network.eval()(image)
        try:
            found = staged.eval()(image)
        except (RuntimeError, TypeError, ValueError, AttributeError, AssertionError, NotImplementedError, IndexError):
            return False  # blocks refuse unexpected inputs in different ways
    return torch.equal(found, expected)


def on_meta(stages: Sequence[nn.Module]) -> nn.Module:
    """Return a copy of the stages, in evaluation mode, that computes shapes without data."""
    return nn.Sequential(*copy.deepcopy(list(stages))).to("meta").eval()


def output_shape(network: nn.Module, image: Sequence[int]) -> tuple[int, ...]:
    """Return the shape of one image's output, of a network on the meta device."""
    with torch.device("meta"), torch.no_grad():
        return tuple(network(torch.empty(1, *image)).shape[1:])


class HalfPrecision(nn.Sequential):
    """Modules whose products and convolutions are computed in bfloat16; their output has 32 bits again."""

    def forward(self, input: torch.Tensor) -> torch.Tensor:
        with torch.autocast(input.device.type, torch.bfloat16):
            return super().forward(input).float()


def expected_size(network: nn.Module, image: Sequence[int], size: int | None) -> str:
    """Return in words which images a network takes, and how to mend that it gets others.

    Args:
        network: on the meta device.
        image: shape of the images that it gets, (channels, height, width).
        size: height and width of those that it was designed for, if known.
    """
    channels, height, width = image

    def takes(side: int) -> bool:
        try:
            return bool(output_shape(network, (channels, side, side)))
        except (RuntimeError, AssertionError):
            return False

    if size and takes(size) and not takes(2 * size):
        return f"of {size}x{size} pixels, got {height}x{width}; try dataset.size={size}"
    shorter = min(height, width)
    smallest = next((side for side in range(shorter, shorter + 1024) if takes(side)), None)
    if smallest is None:
        return f"of other sizes than {height}x{width}; try dataset.size={size or 224}"
    if not takes(smallest + 1):  # a ViT's patches have to divide them
        return f"of {smallest}x{smallest} pixels, but not of {height}x{width}; try dataset.size={size or smallest}"
    padding = (smallest - shorter + 1) // 2
    return (
        f"from {smallest}x{smallest} pixels up, got {height}x{width}; "
        f"try dataset.size={smallest}, or dataset.pad={padding}"
    )


def fast_batch_size(device: torch.device) -> int:
    """Return the number of images that a pass through a network takes at once on a device.

    On 2 cores VGG-16 takes 7.5 s for 5,174 images of 32x32 in batches of 64, and 11.6 s in batches of 1,024; ResNet-50
    and EfficientNet-Lite0 at 224x224 are within a tenth of their fastest (docs/scaling.md).
    """
    return 64 if device.type == "cpu" else 512
