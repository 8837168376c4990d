"""Names of weights: which of a file's names are a network's, whatever stands before them."""

import itertools
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import torch

from graft.errors import ConfigError, Fault
from graft.model.stages import Weights

# What torch.compile, FSDP and activation checkpointing put into the names of the modules that they wrap.
WRAPPERS = ("_orig_mod", "_fsdp_wrapped_module", "_checkpoint_wrapped_module")

COUNTER = "num_batches_tracked"  # of batch norm; files from before PyTorch 0.4.1 have none, and still load


@dataclass(frozen=True)
class Wanted:
    """The weights that a network needs.

    Attributes:
        label: the network's name in messages.
        weights: its own, under our names.
        namings: ways to name them in a file, each with our names by the file's.
        head: prefixes of the names of the library's own head, which is not needed.
    """

    label: str
    weights: Weights
    namings: Sequence[Mapping[str, str]]
    head: tuple[str, ...] = ()


@dataclass(frozen=True, eq=False)
class Group:
    """Names of a file that start alike and go on like the names of a network's weights.

    Attributes:
        prefix: their start, to its last dot.
        found: the network's weights, under our names.
        rest: other weights whose names have this start, under what follows it.
        fills: whether all weights are there in their shapes, and no other ones inside the network's modules.
    """

    prefix: str
    found: Weights
    rest: Weights
    fills: bool

    def equals(self, other: "Group") -> bool:
        """Return whether both hold the same values, as where a module holds one network under two names."""
        return self.found.keys() == other.found.keys() and all(
            torch.equal(value, other.found[name]) for name, value in self.found.items()
        )


def unwrapped(weights: Mapping[str, torch.Tensor]) -> Weights:
    """Return weights without what PyTorch's wrappers put into their names, unless two names would become one."""
    short = {".".join(part for part in name.split(".") if part not in WRAPPERS): name for name in weights}
    return {new: weights[name] for new, name in short.items()} if len(short) == len(weights) else dict(weights)


def choose(weights: Weights, wanted: Wanted, prefix: str | None = None) -> Weights:
    """Return the weights that a network needs, under our names, and others that stand beside them in the file.

    Args:
        weights: the file's.
        wanted: what the network needs.
        prefix: where the names start, with or without what stands before or behind it; None: wherever all are.

    Raises:
        ConfigError: several groups of names fill the network with different values, or none has the prefix.
    """
    groups = _groups(weights, wanted)
    full = [group for group in groups if group.fills]
    chosen = full or groups[:1]
    if prefix is not None:
        chosen = _having(prefix, full) or _having(prefix, groups)[:1]
        if not chosen and groups:
            raise _unclear(prefix, full or groups[:3], f"where names of the weights of {wanted.label} start")
    different = [
        group for index, group in enumerate(chosen) if not any(group.equals(other) for other in chosen[:index])
    ]
    if len(different) > 1:
        raise _unclear(prefix, different, f"as the file holds more than one network that fits {wanted.label}")
    if not different:
        return dict(weights)
    (group,) = different
    inside = tuple(other.prefix.removeprefix(group.prefix) for other in full if _is_inside(other, group))
    return group.found | {name: value for name, value in group.rest.items() if not name.startswith(inside)}


def _groups(weights: Weights, wanted: Wanted) -> list[Group]:
    """Return the groups with names of the network, those with most of them first."""
    found: dict[tuple[int, str], Weights] = {}
    for name, value in weights.items():
        pieces = name.split(".")
        for start in range(len(pieces)):
            prefix, tail = "".join(f"{piece}." for piece in pieces[:start]), ".".join(pieces[start:])
            for number, naming in enumerate(wanted.namings):
                if tail in naming:
                    found.setdefault((number, prefix), {})[naming[tail]] = value
    # Only large groups can matter, and a ResNet's `layer1.0.` is a small one: it, too, ends in `conv1.weight`.
    most = max(map(len, found.values()), default=0)
    large = {place: group for place, group in found.items() if 2 * len(group) > most}
    ordered = sorted(large, key=lambda place: -len(large[place]))
    return [_group(prefix, large[number, prefix], weights, wanted, number) for number, prefix in ordered]


def _group(prefix: str, found: Weights, weights: Weights, wanted: Wanted, number: int) -> Group:
    naming = wanted.namings[number]
    tails = {name.removeprefix(prefix): value for name, value in weights.items() if name.startswith(prefix)}
    rest = {tail: value for tail, value in tails.items() if tail not in naming and not tail.startswith(wanted.head)}
    needed = {name: value.shape for name, value in wanted.weights.items() if not name.endswith(COUNTER)}
    complete = needed.items() <= {name: value.shape for name, value in found.items()}.items()
    modules = {tail.partition(".")[0] for tail in naming}
    larger = any(tail.partition(".")[0] in modules and not tail.endswith(COUNTER) for tail in rest)
    return Group(prefix, found, rest, complete and not larger)


def _is_inside(other: Group, group: Group) -> bool:
    return other.prefix != group.prefix and other.prefix.startswith(group.prefix)


def _having(typed: str, groups: Sequence[Group]) -> list[Group]:
    """Return the groups that a prefix names: as a whole, or else by a part that others may lack."""
    typed = typed.strip(".")
    whole = [group for group in groups if group.prefix.strip(".") == typed]
    return whole or [group for group in groups if typed and f".{typed}." in f".{group.prefix}"]


def _unclear(typed: str | None, groups: Sequence[Group], why: str) -> ConfigError:
    """Return the error that one of some groups' prefixes has to be typed, each without what all start with."""
    paths = {group.prefix: group.prefix.strip(".").split(".") for group in groups}
    shared = len(list(itertools.takewhile(lambda pieces: len(set(pieces)) == 1, zip(*paths.values(), strict=False))))
    names = []
    for prefix, path in paths.items():
        short = ".".join(path[shared:])
        named = {group.prefix for group in _having(short, groups)}
        names.append((short if named == {prefix} else prefix.strip(".")) or "''")
    return ConfigError([Fault("source.prefix", typed, f"{' or '.join(names)}, {why}", f"source.prefix={names[0]}")])
