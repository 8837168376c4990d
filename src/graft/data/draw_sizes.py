"""How many images of each class a draw has, and which groups it validates on."""

import logging
from collections.abc import Collection, Sequence
from dataclasses import dataclass

import torch

from graft.data.division import shortage
from graft.data.groups import Groups

PerClass = int | float | str | None  # images, a fraction of them, `all`, or None where a total counts

log = logging.getLogger("graft")


@dataclass(frozen=True)
class DrawSizes:
    """The images of each small class, of which a draw has some.

    Attributes:
        names: of the classes.
        pools: indices of each class's images.
        available: the number of each class's images that every trial can draw from.
        random: whether draws are stratified, rather than in file order.
        val_per_class: validation images of each class, which a draw has besides its training images.
    """

    names: Sequence[str]
    pools: Sequence[torch.Tensor]
    available: Sequence[int]
    random: bool
    val_per_class: int

    def asked(self, per_class: PerClass, total: int | None) -> list[int]:
        """Return how many training images of each class a draw should have.

        Args:
            per_class: of each class; `all` that are left beside validation images, or that fraction of them, rounded,
                and at least one.
            total: in all; None: `per_class` counts.

        Raises:
            ConfigError: a class would have none.
        """
        num_classes = len(self.pools)
        if total is None:
            if per_class is None:
                raise shortage(
                    "small_per_class", None, "a number without dataset.small_total", "dataset.small_per_class=20"
                )
            if isinstance(per_class, int):
                return [per_class] * num_classes
            share = 1.0 if per_class == "all" else float(per_class)
            return [max(1, round(share * (most - self.val_per_class))) for most in self.available]
        if self.random:
            counts = [total // num_classes + (position < total % num_classes) for position in range(num_classes)]
        else:
            first = torch.cat(list(self.pools)).sort().values[:total]
            counts = [int(torch.isin(pool, first).sum()) for pool in self.pools]
        if 0 in counts:
            expected = f"enough for an image of class {self.names[counts.index(0)]} with this dataset.draw"
            raise shortage("small_total", total, expected, "dataset.draw=stratified, or dataset.small_per_class=20")
        return counts

    def checked(self, asked: list[int], per_class: PerClass, total: int | None) -> list[int]:
        """Return what `asked` says, if each class has as many images.

        Args:
            asked: for each class.
            per_class: as in `asked`.
            total: as in `asked`.

        Raises:
            ConfigError: names the class.
        """
        available = [count - self.val_per_class for count in self.available]
        validated = f" besides dataset.val_per_class={self.val_per_class}" if self.val_per_class else ""
        for count, most, name in zip(asked, available, self.names, strict=True):
            if count > most:
                least = max(1, min(available))
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

    def reduced(self, asked: Sequence[int], untested: Collection[str]) -> list[int]:
        """Return how many of the images asked for each class has, and warn of classes that have fewer.

        Of too few images, validation gets its share, but training at least one.

        Args:
            asked: for each class.
            untested: the classes without a test image, which the warning names, too.
        """
        counts, words = [], []
        for most, count, name in zip(self.available, asked, self.names, strict=True):
            wanted = count + self.val_per_class
            counts.append(count if most >= wanted else max(1, most * count // wanted))
            short = f" {counts[-1]:,} of {count:,} training images" if counts[-1] < count else ""
            lacks = [*([short] if short else []), *([" no test image"] if name in untested else [])]
            if lacks:
                words.append(f"{name} has{' and'.join(lacks)}")
        if words:
            log.warning("dataset.short=use: %s", ", ".join(words))
        return counts


def validation(
    groups: Groups, seed: int, pools: Sequence[torch.Tensor], counts: Sequence[int], validated: Sequence[int]
) -> torch.Tensor:
    """Return a mask of the images whose groups a trial validates on, and does not train on, (images,).

    Args:
        groups: of the data set.
        seed: the trial's.
        pools: indices of each class's images that the trial does not test.
        counts: training images of each class.
        validated: validation images of each class.

    Raises:
        ConfigError: the groups have too few images for that.
    """
    found = groups.validated(seed, pools, validated, counts)
    if found is not None:
        return found
    key, most = ("val", max(validated)) if any(validated) else ("small", max(counts))
    beside = f" apart from those of {max(counts)} training images of each class" if any(validated) else ""
    expected = f"fewer, because the trial of seed {seed} finds no groups with as many images of each class{beside}"
    raise shortage(f"{key}_per_class", most, expected, f"dataset.{key}_per_class={max(1, most // 2)}")
