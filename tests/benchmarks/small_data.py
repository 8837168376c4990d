"""The grid of docs/small_data.md: images a class x where the weights come from x what is trained, on one data set.

    python tests/benchmarks/small_data.py run DATASET DATA OUT [sources=NAME,...] [sizes=10,30] [heads=NAME,...]
    python tests/benchmarks/small_data.py write DATASET OUT FOLDER     # OUT's results as FOLDER/DATASET*.csv
    python tests/benchmarks/small_data.py page FOLDER     # the tables of these files in FOLDER.md, between its marks

DATA has MNIST/raw, FashionMNIST/raw, cifar10_png/{train,test}/<class>, weights/vgg16_imagenet_features.safetensors
and cells/cells.csv, made as docs/own_data.md says, its groups included. What has finished is not run
again: the same command goes on where it was stopped, cheap cells first. Trial k draws the same images under every
source and head.
"""

import csv
import io
import sys
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import graft
from graft.files import write_text
from graft.report.table import markdown
from graft.results.records import Record, read_records
from graft.statistics.comparison import differences

SIZES = (10, 30, 100, 300)
POOL, TESTED, PRETRAINED = 400, 200, 2000  # images a class: to draw from, to test on, and of the other classes
TRIALS = 15
EPOCHS = {10: 100, 30: 60, 100: 20, 300: 8}  # 400 to 750 steps of five classes: more images, fewer epochs
THAWED = {10: 20, 30: 20, 100: 10, 300: 5}  # further epochs, with the last stage unfrozen
FROZEN = ("solved", "plain", "dense512")
SOURCES = {  # what is trained on each; scratch trains the whole network, so nothing can be solved or thawed
    "scratch": ("plain", "dense512"),
    "big": (*FROZEN, "thaw"),
    "vgg16": (*FROZEN, "thaw"),
    "lite0": (*FROZEN, "thaw"),
}
# Chosen before any result was seen, and corrected together for each data set.
COMPARED = (
    (("big", "solved"), ("scratch", "plain")),
    (("lite0", "solved"), ("scratch", "plain")),
    (("lite0", "solved"), ("big", "solved")),
    (("lite0", "solved"), ("vgg16", "solved")),
    *(((source, head), (source, "solved")) for source in ("big", "vgg16", "lite0") for head in SOURCES[source][1:]),
)
NAMES = {
    "scratch": "from scratch",
    "big": "pre-trained on other classes",
    "vgg16": "VGG-16",
    "lite0": "EfficientNet-Lite0",
    "solved": "solved",
    "plain": "plain",
    "dense512": "dense512",
    "thaw": "plain, thaw",
}
Row = dict[str, Any]


@dataclass(frozen=True)
class DataSet:
    """A data set of the grid.

    Attributes:
        network: the small network, from scratch and pre-trained.
        small: classes to transfer to; none of solar cells, whose table says what belongs to which split.
        further: further keys by source.
        sources: those that it has.
    """

    network: str
    small: tuple[str, ...] | str
    further: Mapping[str, Mapping[str, Any]]
    sources: Sequence[str] = tuple(SOURCES)

    def keys(self, prepared: Path, data: Path) -> dict[str, Any]:
        """Return the keys of its images, in the folder of prepared ones or in that of the data."""
        if self.small:
            big = () if self.small == "all" else "rest"
            return {
                "dataset": "image_folder",
                "dataset.root": prepared,
                "dataset.small": self.small,
                "dataset.big": big,
            }
        table = {"dataset": "table", "dataset.file": data / "cells" / "cells.csv", "dataset.label": "condition"}
        domains = {"dataset.domain": "type", "dataset.big_domain": "mono", "dataset.small_domain": "poly"}
        return table | domains | {"dataset.group": "cell", "dataset.test_per_class": 100}


PHOTOS = {"vgg16": {"dataset.size": 64}}  # twice their own size, of which one position would be left
STROKES = {**PHOTOS, "lite0": {"dataset.size": 112}}  # four times their own size: 224 pixels cost four times as much
CELLS = {"scratch": {"dataset.size": 64}, "big": {"dataset.size": 64}, "vgg16": {"dataset.size": 128}}
DATA_SETS = {
    "mnist": DataSet("cnn", ("1", "3", "5", "7", "9"), STROKES),
    "fashion": DataSet("cnn", ("1", "3", "5", "7", "9"), STROKES),
    "cifar10": DataSet("cnn5", ("bird", "cat", "deer", "dog", "frog"), PHOTOS),
    "cifar10_all": DataSet("cnn5", "all", PHOTOS, ("scratch", "vgg16", "lite0")),
    "cells": DataSet("cnn5", (), CELLS),
}


def prepare(name: str, data: Path, out: Path) -> Path:
    """Write the images that are used as class folders, the first ones of each class; return their folder.

    CIFAR-10's folders in DATA have 508 training images of a class and 101 to test on: trials draw from the first 400,
    and the others are test images, too.
    """
    folder = out / "images" / name.removesuffix("_all")
    if name == "cells" or (folder / "done").exists():
        return folder
    if name.startswith("cifar10"):
        for of_class in sorted((data / "cifar10_png" / "train").iterdir()):
            files = [*sorted(of_class.iterdir()), *sorted((of_class.parents[1] / "test" / of_class.name).iterdir())]
            _link(files[:POOL], folder / "train" / of_class.name)
            _link(files[POOL:][:TESTED], folder / "test" / of_class.name)
    else:
        from torchvision import datasets

        kind = {"mnist": datasets.MNIST, "fashion": datasets.FashionMNIST}[name]
        for part, split in (("train", kind(str(data), train=True)), ("test", kind(str(data), train=False))):
            for label in range(10):
                count = TESTED if part == "test" else POOL if label % 2 else PRETRAINED
                chosen = (split.targets == label).nonzero().flatten()[:count].tolist()
                into = folder / part / str(label)
                into.mkdir(parents=True, exist_ok=True)
                for place in chosen:
                    split[place][0].save(into / f"{place:05}.png")
    (folder / "done").touch()
    return folder


def _link(files: Iterable[Path], folder: Path) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    for place, file in enumerate(files):
        link = folder / f"{place:04}.png"
        link.unlink(missing_ok=True)
        link.symlink_to(file.resolve())


def overrides(name: str, source: str, head: str, size: int, prepared: Path, data: Path) -> dict[str, Any]:
    """Return the keys of one cell; the three heads on frozen features share all but `head`."""
    chosen = DATA_SETS[name]
    words = chosen.keys(prepared, data)
    words |= {"dataset.small_per_class": size, "trials": TRIALS, "test_curve": False, "keep_weights": "none"}
    words |= {"report.thumbnails": False, "logger": "none"}
    if head != "solved":
        words |= {"epochs": EPOCHS[size], "batch_size": 16, "dropout": 0, "val_every": 1000}
    words |= {
        "scratch": {"backbone": chosen.network, "source": "scratch"},
        "big": {"backbone": chosen.network, "source": "big"},
        "vgg16": {
            "backbone": "vgg16",
            "source": "file",
            "source.path": data / "weights" / "vgg16_imagenet_features.safetensors",
            "source.weights": "IMAGENET1K_FEATURES",
        },
        "lite0": {"backbone": "efficientnet_lite0", "source": "imagenet"},
    }[source]
    thawed = {"head": "plain", "tune": "thaw", "tune.epochs": THAWED[size]}
    return words | dict(chosen.further.get(source, {})) | (thawed if head == "thaw" else {"head": head})


def run(name: str, data: Path, out: Path, only: Mapping[str, Sequence[str]]) -> None:
    """Run the cells that have not finished, those with frozen features first."""
    prepared = prepare(name, data, out)
    sources = [source for source in DATA_SETS[name].sources if source in only.get("sources", SOURCES)]
    sizes = [size for size in SIZES if str(size) in only.get("sizes", [str(each) for each in SIZES])]
    cells = [(source, size, head) for size in sizes for source in sources for head in SOURCES[source]]
    for source, size, head in sorted(
        cells, key=lambda cell: cell[0] == "scratch" or cell[2] not in ("solved", "plain")
    ):
        if head not in only.get("heads", NAMES) or (_cell(out, name, source, head, size) / "result.json").exists():
            continue
        answer = graft.run(
            overrides(name, source, head, size, prepared, data), folder=_cell(out, name, source, head, size)
        )
        seconds = answer.best.result["seconds"]["total"]
        print(f"{name} {source} {head} {size}: {100 * answer.best.accuracy:.1f} %, {seconds:.0f} s", flush=True)


def _cell(out: Path, name: str, source: str, head: str, size: int) -> Path:
    return out / "runs" / name / f"{source}_{head}_{size}"


def finished(name: str, out: Path) -> dict[tuple[str, str, int], Record]:
    """Return the finished cells by source, head and images a class."""
    found = {}
    for source in DATA_SETS[name].sources:
        for head in SOURCES[source]:
            for size in SIZES:
                folder = _cell(out, name, source, head, size)
                if (folder / "result.json").exists():
                    found[source, head, size] = read_records([folder]).finished[0]
    return found


def rows(name: str, cells: Mapping[tuple[str, str, int], Record]) -> list[Row]:
    """Return a row for each finished cell; accuracies in percent."""
    made = []
    for (source, head, size), record in cells.items():
        spread, (low, high) = record.spread(), record.spread().interval or (None, None)
        numbers = {"accuracy": spread.mean, "low95": low, "high95": high, "lowest": spread.low, "highest": spread.high}
        made.append(
            {"dataset": name, "source": source, "head": head, "per_class": size}
            | {key: None if value is None else round(100 * value, 2) for key, value in numbers.items()}
            | {"trials": spread.num_trials, "test_images": record.result["images"]["test"]}
            | {"seconds": round(record.result["seconds"]["total"])}
        )
    return made


def compared(name: str, cells: Mapping[tuple[str, str, int], Record]) -> list[Row]:
    """Return a row for each planned comparison whose two cells have finished; differences in points."""
    pairs = [(one, other, size) for size in SIZES for one, other in COMPARED]
    pairs = [(one, other, size) for one, other, size in pairs if (*one, size) in cells and (*other, size) in cells]
    found = differences(
        [(cells[*one, size].accuracies(), cells[*other, size].accuracies()) for one, other, size in pairs]
    )
    made = []
    for (one, other, size), found_one in zip(pairs, found, strict=True):
        low, high = found_one.interval or (None, None)
        numbers = {"difference": found_one.mean, "low95": low, "high95": high}
        made.append(
            {"dataset": name, "first": " ".join(one), "second": " ".join(other), "per_class": size}
            | {key: None if value is None else round(100 * value, 2) for key, value in numbers.items()}
            | {"p": None if found_one.p is None else f"{found_one.p:.3g}", "comparisons": len(pairs)}
        )
    return made


def table(found: Sequence[Mapping[str, Any]], sources: Sequence[str] = tuple(SOURCES)) -> str:
    """Return the cells of one data set as a table in Markdown: the mean and its interval, or that it was not run."""
    by_cell = {(row["source"], row["head"], int(row["per_class"])): row for row in found}
    lines = []
    for source in sources:
        for head in SOURCES[source]:
            texts = [_accuracy(by_cell.get((source, head, size))) for size in SIZES]
            lines.append([NAMES[source], NAMES[head], *texts])
    return markdown(["weights", "head", *(f"{size} a class" for size in SIZES)], lines)


def differences_table(found: Sequence[Mapping[str, Any]]) -> str:
    """Return the planned comparisons of one data set as a table in Markdown; those that differ are bold."""
    by_pair = {(row["first"], row["second"], int(row["per_class"])): row for row in found}
    lines = []
    for one, other in COMPARED:
        texts = [by_pair.get((" ".join(one), " ".join(other), size)) for size in SIZES]
        if any(texts):
            label = [f"{NAMES[source]}, {NAMES[head]}" for source, head in (one, other)]
            lines.append([f"{label[0]} less {label[1]}", *(_difference(each) for each in texts)])
    return markdown(["difference", *(f"{size} a class" for size in SIZES)], lines)


def _accuracy(row: Mapping[str, Any] | None) -> str:
    if row is None:
        return "not run"
    return f"{float(row['accuracy']):.1f} ({float(row['low95']):.1f} to {float(row['high95']):.1f})"


def _difference(row: Mapping[str, Any] | None) -> str:
    if row is None:
        return "not run"
    mean, low, high = (round(float(row[key]), 1) + 0.0 for key in ("difference", "low95", "high95"))  # not -0.0
    text = f"{mean:+.1f} ({low:.1f} to {high:.1f})"
    return f"**{text}**" if float(row["p"]) < 0.05 else text


def write(name: str, out: Path, folder: Path) -> None:
    """Write a data set's cells and comparisons as CSV files."""
    cells = finished(name, out)
    folder.mkdir(parents=True, exist_ok=True)
    for suffix, found in (("", rows(name, cells)), ("_differences", compared(name, cells))):
        if found:
            text = io.StringIO(newline="")
            writer = csv.DictWriter(text, list(found[0]), lineterminator="\n")
            writer.writeheader()
            writer.writerows(found)
            write_text(folder / f"{name}{suffix}.csv", text.getvalue())


def read(path: Path) -> list[dict[str, str]]:
    """Return the rows of a CSV file; none of one that is not there."""
    if not path.exists():
        return []
    with path.open(newline="") as file:
        return list(csv.DictReader(file))


def tables(folder: Path) -> dict[str, str]:
    """Return both tables of each data set that has CSV files in a folder, by its name."""
    made = {}
    for name, chosen in DATA_SETS.items():
        if found := read(folder / f"{name}.csv"):
            pairs = differences_table(read(folder / f"{name}_differences.csv"))
            made[name] = f"{table(found, chosen.sources)}\n\n{pairs}"
    return made


def renewed(text: str, made: Mapping[str, str]) -> str:
    """Return a page with these tables between the marks `<!-- NAME -->` and `<!-- end -->`."""
    for name, tables_of in made.items():
        before, mark, rest = text.partition(f"<!-- {name} -->\n")
        if not mark:
            raise ValueError(f"the page has no mark <!-- {name} -->")
        _, end, after = rest.partition("<!-- end -->")
        text = f"{before}{mark}{tables_of}\n{end}{after}"
    return text


def main(words: list[str]) -> None:
    match words:
        case ["run", name, data, out, *only] if name in DATA_SETS:
            filters = {key: values.split(",") for key, values in (word.split("=") for word in only)}
            run(name, Path(data).resolve(), Path(out).resolve(), filters)
        case ["write", name, out, folder] if name in DATA_SETS:
            write(name, Path(out), Path(folder))
        case ["page", folder]:
            page = Path(folder).with_suffix(".md")
            write_text(page, renewed(page.read_text(), tables(Path(folder))))
        case _:
            sys.exit(f"{__doc__}\ndata sets: {', '.join(DATA_SETS)}")


if __name__ == "__main__":
    main(sys.argv[1:])
