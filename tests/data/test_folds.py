"""Folds: every image is tested once a repeat, by a trial that does not train on it."""

from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from folders import forget, write_classes

from graft.data.datamodule import Inputs, SmallDataModule
from graft.data.dataset import Dataset, ImageFolder
from graft.data.folds import NO_IMAGE, Folds, whole_repeats
from graft.data.images import InMemoryImages
from graft.errors import ConfigError


def folder(root: Path, **options) -> ImageFolder:
    forget()
    given = {"big": [], "small": "all", "small_per_class": 3, "folds": 5} | options
    return ImageFolder(root=str(root), **given)


def unequal(*counts: int) -> InMemoryImages:
    labels = torch.cat([torch.full([count], label) for label, count in enumerate(counts)])
    none = torch.zeros(len(labels), dtype=torch.bool)
    pixels = torch.arange(len(labels), dtype=torch.uint8).view(-1, 1, 1, 1)
    return InMemoryImages(labels, none, none, tuple("abc"[: len(counts)]), pixels)


class Unequal(Dataset):
    """Images in memory, 7, 11 and 8 of a class: 26, which no number of folds from 3 to 7 divides."""

    def load(self, where) -> InMemoryImages:
        return unequal(7, 11, 8)


@pytest.mark.parametrize("kind", ["files", "memory"])
def test_each_repeat_tests_each_image_once_and_trains_on_no_tested_one(tmp_path: Path, kind: str):
    if kind == "files":
        write_classes(tmp_path, a=7, b=11, c=8)
    data = folder(tmp_path) if kind == "files" else Unequal(big=[], small="all", small_per_class=3, folds=5)
    everything = list(range(26))
    for first in (0, 5, 10):
        tested = [data.tested(seed) for seed in range(first, first + 5)]
        assert torch.cat(tested).sort().values.tolist() == everything
        for seed, images in zip(range(first, first + 5), tested, strict=True):
            train, _ = data.sample(seed)
            assert len(train) == 9
            assert not set(train.tolist()) & set(images.tolist())
            counts = data.images.labels[images].bincount(minlength=3)
            assert all(few <= count <= few + 1 for few, count in zip((1, 2, 1), counts, strict=True))
    assert not torch.equal(data.tested(0), data.tested(5))  # each repeat is a division of its own
    again = folder(tmp_path) if kind == "files" else Unequal(big=[], small="all", small_per_class=3, folds=5)
    assert all(torch.equal(data.tested(seed), again.tested(seed)) for seed in range(10))


def test_larger_folds_of_different_classes_are_different_ones():
    images = unequal(6, 6, 6)
    folds = Folds(images, images.classes, [torch.nonzero(images.labels == label).flatten() for label in range(3)], 5)
    assert sorted(len(folds.tested(seed)) for seed in range(5)) == [3, 3, 4, 4, 4]


def test_a_file_s_fold_follows_from_its_contents_and_a_new_file_moves_few(tmp_path: Path):
    write_classes(tmp_path, a=40, b=40)
    before = names(folder(tmp_path))
    (tmp_path / "a" / "39.bmp").rename(tmp_path / "a" / "first.bmp")
    renamed = names(folder(tmp_path))
    assert renamed == {("a/first.bmp" if name == "a/39.bmp" else name): fold for name, fold in before.items()}
    write_classes(tmp_path, **{"a": 0, "b": 0})
    moved = []
    for number in range(10):
        (tmp_path / "a" / f"new{number}.bmp").write_bytes(_picture(tmp_path, 50_000 + number))
        after = names(folder(tmp_path))
        moved.append(sum(after[name] != fold for name, fold in before.items() if name in after))
        assert all(after[name] == fold for name, fold in before.items() if name.startswith("b/"))
        (tmp_path / "a" / f"new{number}.bmp").unlink()
    assert sum(moved) / len(moved) < 3  # of 40; a division by rank would move 32


def _picture(root: Path, number: int) -> bytes:
    from folders import write_picture

    write_picture(root.parent / "new" / "x.bmp", number)
    return (root.parent / "new" / "x.bmp").read_bytes()


def names(data: Dataset) -> dict[str, int]:
    """Return the fold of each file in the first repeat."""
    paths = data.images.folder.paths  # type: ignore[attr-defined]
    return {"/".join(paths[index].parts[-2:]): fold for fold in range(5) for index in data.tested(fold).tolist()}


def test_the_data_set_s_own_test_images_are_not_used_and_are_accounted_for(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
):
    write_classes(tmp_path, train_a=10, train_b=10, test_a=3, test_b=4)
    data = folder(tmp_path)
    assert len(data.test) == 20
    assert not data.images.test[data.test].any()
    assert "the data set's own 7 test images of these classes are not used" in caplog.text
    account = data.account()
    assert account["used"] == 20
    assert account["ignored"]["test images, which dataset.folds does not use"] == 7
    assert account["found"] == account["used"] + sum(account["ignored"].values())


def test_validation_images_are_drawn_from_the_other_folds():
    data = Unequal(big=[], small="all", small_per_class=3, val_per_class=2, folds=5)
    for seed in range(5):
        train, val = data.sample(seed)
        assert len(val) == 6
        assert len({*train.tolist(), *val.tolist(), *data.tested(seed).tolist()}) == 9 + 6 + len(data.tested(seed))


def test_what_is_missing_is_refused():
    with pytest.raises(ConfigError, match=r"at most the images of each class, .*a has 7, got 8; try dataset\.folds=7"):
        Unequal(big=[], small="all", small_per_class=3, folds=8)
    with pytest.raises(ConfigError, match="at most 5, the images to draw from class a"):
        Unequal(big=[], small="all", small_per_class=6, folds=5)
    assert Unequal(big=[], small="all", small_per_class=100, folds=5, short="use").counts == [5, 8, 6]


def test_trials_test_their_folds_side_by_side_and_count_each_image_once():
    data = Unequal(big=[], small="all", small_per_class=3, folds=5)
    module = SmallDataModule(data, range(5), batch_size=4)
    assert module.rows["test"].shape == (5, 6)
    given = module.with_inputs(Inputs(module.images.float()[:, None], stored=True, shape=(1,)))
    (loader,) = given.test_dataloader()
    seen: list[list[int]] = [[] for _ in range(5)]
    for batch in loader:
        for trial in range(5):
            counted = batch.labels[trial] != NO_IMAGE
            images = batch.inputs[trial, counted, 0].long()
            assert torch.equal(batch.labels[trial, counted], data.images.labels[images])
            seen[trial] += images.tolist()
    assert seen == [data.tested(seed).tolist() for seed in range(5)]
    part = given.chunk(range(3, 5))
    assert torch.equal(part.rows["test"], module.rows["test"][3:])


@pytest.mark.parametrize(
    ("trials", "message"),
    [
        (5, ""),
        (15, ""),
        (3, "dataset.folds=5 with trials=3: 2 of 5 folds are not tested; try trials=5"),
        (7, "dataset.folds=5 with trials=7: 2 of 5 folds are tested once more than the others; try trials=10"),
    ],
)
def test_a_report_needs_whole_repeats(trials: int, message: str):
    assert whole_repeats(trials, 5) == message


@pytest.mark.parametrize("options", [["augment=digits"], ["head=ridge", "tune=frozen", "source.epochs=1"], []])
def test_a_job_counts_every_image_once(run: Callable[..., dict], options: list[str], tmp_path: Path):
    write_classes(tmp_path / "data", a=9, b=8, c=12)
    common = [f"dataset.root={tmp_path}/data", "dataset=image_folder", "dataset.big=[c]", "dataset.small=[a,b]"]
    common += [
        "dataset.folds=3",
        "dataset.small_per_class=4",
        "trials=3",
        "epochs=1",
        "backbone=cnn",
        "dataset.size=16",
    ]
    source = [] if any("head" in each for each in options) else ["source=scratch"]
    together = run(*common, *source, *options)
    assert sum(trial["tested"] for trial in together["trials"]) == 17
    apart = run(*common, *source, *options, "trials_at_once=2", name="apart")
    assert [trial["tested"] for trial in apart["trials"]] == [trial["tested"] for trial in together["trials"]]
    assert [trial["correct"] for trial in apart["trials"]] == [trial["correct"] for trial in together["trials"]]
