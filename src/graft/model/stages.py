"""Cutting a library's network into stages that keep the library's names of their weights."""

import copy
import itertools
from collections.abc import Iterator, Mapping, Sequence

import torch
from torch import nn

Weights = dict[str, torch.Tensor]


def units(network: nn.Module) -> dict[str, nn.Module]:
    """Return the network's children in their order, those of plain containers one by one, under their paths."""
    found: dict[str, nn.Module] = {}
    for name, child in network.named_children():
        parts = list(child.named_children())
        if type(child) in (nn.Sequential, nn.ModuleList) and parts:
            found |= {f"{name}.{path}": part for path, part in parts}
        else:
            found[name] = child
    return found


def nest(parts: Mapping[str, nn.Module]) -> nn.Sequential:
    """Return modules as one that runs them in order, where each has the path that it had in its network."""
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
    """Cut parts before each of the paths in `starts`; what comes before the first is the first stage's."""
    groups: list[dict[str, nn.Module]] = [{}]
    for path, part in parts.items():
        if path in starts and groups[-1]:
            groups.append({})
        groups[-1][path] = part
    return [nest(group) for group in groups]


def evenly(blocks: Sequence[str], groups: int = 4) -> list[str]:
    """Return the first of each of some groups of blocks, as even as they can be."""
    return [blocks[group * len(blocks) // groups] for group in range(min(groups, len(blocks)))]


def has_weights(module: nn.Module) -> bool:
    """Return whether a module has parameters."""
    return next(module.parameters(), None) is not None


def whole(network: nn.Module, parts: Sequence[nn.Module], pool: nn.Module, size: int) -> bool:
    """Return whether stages, run one after another, have all the network's weights and compute what it computes.

    One image tells, since every weight is moved a little first: none is left at a value that would not show.

    Args:
        network: the library's, in one piece; maps (1, 3, size, size) to features, (1, features).
        parts: its stages, which share its weights.
        pool: what makes features of the last stage's output.
        size: height and width of an image that the network takes.
    """
    numbers = torch.Generator().manual_seed(0)
    names = {name for name, _ in network.state_dict().items()}
    if names != set(itertools.chain.from_iterable(part.state_dict() for part in parts)):
        return False
    network, moved = copy.deepcopy((network, nn.Sequential(*parts, pool)))  # at once: they still share their weights
    with torch.no_grad():
        for parameter in network.parameters():
            parameter += 0.02 * torch.randn(parameter.shape, generator=numbers)
        image = torch.rand(1, 3, size, size, generator=numbers)
        expected = network.eval()(image)
        try:
            found = moved.eval()(image)
        except (RuntimeError, TypeError, ValueError, AttributeError, AssertionError, NotImplementedError, IndexError):
            return False  # whatever a block says of an input that is not the one it expects
    return torch.equal(found, expected)


def prefix(names: Mapping[str, object], known: set[str]) -> str:
    """Return what stands before the known names in a file: `model.`, `module.backbone.`, or nothing."""

    def before() -> Iterator[str]:
        for name in names:
            pieces = name.split(".")
            for start in range(len(pieces)):
                if ".".join(pieces[start:]) in known:
                    yield "".join(f"{piece}." for piece in pieces[:start])

    counts: dict[str, int] = {}
    for found in before():
        counts[found] = counts.get(found, 0) + 1
    return max(counts, key=lambda found: counts[found], default="")
