"""How many images of each class a draw has, and which groups it validates on."""

import logging
from collections.abc import Collection, Iterable, Sequence
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
import torch

from graft.data.division import shortage
from graft.data.folds import MOST_REPEATS, QUICK, Folds
from graft.data.groups import Groups, halves
from graft.errors import ConfigError

PerClass = int | float | str | None  # images, a fraction of them, `all`, or None where a total counts

log = logging.getLogger("graft")


class Typed(NamedTuple):
    """What was asked for: `dataset.small_per_class`, unless there is a `dataset.small_total`, and `val_per_class`."""

    per_class: PerClass
    total: int | None
    val_per_class: int

    def reduces(self, counts: Sequence[int], validated: Sequence[int]) -> bool:
        """Return whether some class has fewer training or validation images, as `dataset.short=use` allows."""
        if min(validated) < self.val_per_class:
            return True
        if self.total is not None:
            return sum(counts) < self.total
        return isinstance(self.per_class, int) and min(counts) < self.per_class


@dataclass(frozen=True)
class GroupDraws:
    """What trials draw if each validates on groups of its own.

    Attributes:
        groups: of the data set.
        pool: indices of each class's images.
        folds: which trials test; None: they test none of the pool.
        random: whether draws differ between seeds.
    """

    groups: Groups
    pool: Sequence[torch.Tensor]
    folds: Folds | None
    random: bool

    def validation(self, seed: int, counts: Sequence[int], validated: Sequence[int], typed: Typed) -> torch.Tensor:
        """Return a mask of the images whose groups a trial validates on, and does not train on, (images,).

        Args:
            seed: the trial's.
            counts: training images of each class.
            validated: validation images of each class.
            typed: what a refusal names.

        Raises:
            ConfigError: the groups have too few images for that.
        """
        found = self.groups.validated(seed * self.random, self._pools(seed), validated, counts)
        if found is None:
            raise self._refusal(seed, counts, validated, typed)
        return found

    def left(self, validated: Sequence[int], seeds: Iterable[int] = ()) -> list[int] | None:
        """Return how many images of each class the first trials, and those of some seeds, can train on at least.

        As many trials are looked at as are quick.

        Args:
            validated: validation images of each class, whose groups are taken first.
            seeds: of further trials.

        Returns:
            The numbers; None if some trial finds no groups to validate on.
        """
        repeats = min(MOST_REPEATS, 1 + QUICK // len(self.groups.names))
        first = range(repeats * (1 if self.folds is None else self.folds.num_folds))
        least = np.array([len(indices) for indices in self.pool])
        for seed in (*first, *seeds):
            pools = self._pools(seed)
            apart = self.groups.validated(seed * self.random, pools, validated, [1] * len(pools))
            if apart is None:
                return None
            least = np.minimum(least, [int((~apart[indices]).sum()) for indices in pools])
        return least.tolist()

    def _pools(self, seed: int) -> Sequence[torch.Tensor]:
        return self.pool if self.folds is None else self.folds.others(seed)

    def _refusal(self, seed: int, counts: Sequence[int], validated: Sequence[int], typed: Typed) -> ConfigError:
        """Return the error that a trial cannot draw as much, with numbers that it and the first trials can draw."""
        per_class, total, val_per_class = typed
        reduced = typed.reduces(counts, validated)  # other numbers would be reduced, too, unless each class has both
        largest = min(validated) if reduced else max(validated)
        for most in halves(largest):
            left = self.left([min(most, count) for count in validated], [seed])
            if left is not None:
                break
        else:
            left, most = [1], 0
        fits = all(count <= each for count, each in zip(counts, left, strict=False)) and not reduced
        enough = min(left) if not reduced else min(*left, per_class if isinstance(per_class, int) else max(counts))
        number = f"dataset.small_per_class={enough}"
        fewer = number if total is None else f"{number} with dataset.small_total=null"
        beside = f" apart from {max(validated)} validation images of each" if any(validated) else ""
        why = f"because the trial of seed {seed} finds no groups with {max(counts)} training images of each class"
        if most < val_per_class:
            example = f"dataset.val_per_class={most}" + ("" if fits else f" and {fewer}")
            return shortage("val_per_class", val_per_class, f"fewer, {why}{beside}", example)
        key, got = ("small_per_class", per_class) if total is None else ("small_total", total)
        return shortage(key, got, f"fewer, {why}{beside}", fewer)


@dataclass(frozen=True)
class DrawSizes:
    """The images of each small class, of which a draw has some.

    Attributes:
        names: of the classes.
        pools: indices of each class's images.
        available: the number of each class's images that every trial can draw from.
        random: whether draws are stratified, rather than in file order.
        typed: what was asked for: `small_per_class` is a number of each class, `all` that are left beside validation
            images, or that fraction of them, rounded, and at least one.
        draws: which validate on groups of their own; None: there are no groups.
    """

    names: Sequence[str]
    pools: Sequence[torch.Tensor]
    available: Sequence[int]
    random: bool
    typed: Typed
    draws: GroupDraws | None = None

    def asked(self) -> list[int]:
        """Return how many training images of each class a draw should have.

        Raises:
            ConfigError: a class would have none.
        """
        num_classes, (per_class, total, _) = len(self.pools), self.typed
        if total is None:
            if per_class is None:
                expected = "a number without dataset.small_total"
                raise shortage("small_per_class", None, expected, "dataset.small_per_class=20")
            if isinstance(per_class, int):
                return [per_class] * num_classes
            share = 1.0 if per_class == "all" else float(per_class)
            return [max(1, round(share * most)) for most in self._left()]
        if self.random:
            counts = [total // num_classes + (position < total % num_classes) for position in range(num_classes)]
        else:
            first = torch.cat(list(self.pools)).sort().values[:total]
            counts = [int(torch.isin(pool, first).sum()) for pool in self.pools]
        if 0 in counts:
            expected = f"enough for an image of class {self.names[counts.index(0)]} with this dataset.draw"
            raise shortage("small_total", total, expected, "dataset.draw=stratified, or dataset.small_per_class=20")
        return counts

    def _left(self) -> list[int]:
        """Return how many images of each class are left beside validation images, or their groups."""
        left, val_per_class = None, self.typed.val_per_class
        if self.draws is not None and val_per_class:  # no more than each class has, which `short` allows
            left = self.draws.left([min(val_per_class, most - 1) for most in self.available])
        return left or [most - val_per_class for most in self.available]

    def checked(self) -> list[int]:
        """Return what `asked` says, if each class has as many images.

        Raises:
            ConfigError: names the class.
        """
        asked, (per_class, total, val_per_class) = self.asked(), self.typed
        available = [count - val_per_class for count in self.available]
        if min(available) < 1:
            name, most = self.names[available.index(min(available))], min(self.available)
            expected = f"below {most}, the images to draw from class {name}, or none is left to train on"
            raise shortage("val_per_class", val_per_class, expected, f"dataset.val_per_class={most // 2}")
        validated = f" besides dataset.val_per_class={val_per_class}" if val_per_class else ""
        for count, most, name in sorted(zip(asked, available, self.names, strict=True), key=lambda each: each[1]):
            if count > most:  # the first one has the fewest
                least = min(available)
                if total is None:
                    expected = f"at most {most}, the images to draw from class {name}{validated}"
                    example = f"dataset.small_per_class={least}, or dataset.short=use"
                    raise shortage("small_per_class", per_class, expected, example)
                expected = f"at most {most} from class {name}, its images to draw from{validated}, not {count}"
                raise shortage("small_total", total, expected, f"dataset.small_total={least * len(asked)}")
        if total is not None and sum(asked) < total:
            expected = f"at most {sum(asked)}, the images to draw from"
            raise shortage("small_total", total, expected, f"dataset.small_total={sum(asked)}")
        return asked

    def reduced(self, untested: Collection[str]) -> list[int]:
        """Return how many of the images asked for each class has, and warn of classes that have fewer.

        Of too few images, validation gets its share, but training at least one; untested classes are named, too.
        """
        counts, words, val_per_class = [], [], self.typed.val_per_class
        for most, count, name in zip(self.available, self.asked(), self.names, strict=True):
            wanted = count + val_per_class
            counts.append(count if most >= wanted else max(1, most * count // wanted))
            has = ((counts[-1], count, "training"), (most - counts[-1], val_per_class, "validation"))
            lacks = [f" {own:,} of {number:,} {split} images" for own, number, split in has if own < number]
            lacks += [" no test image"] * (name in untested)
            if lacks:
                words.append(f"{name} has{' and'.join(lacks)}")
        if words:
            log.warning("dataset.short=use: %s", ", ".join(words))
        return counts
