import math
import re
from collections.abc import Callable, Sequence
from pathlib import Path

import pandas
import pytest
import torch
from folders import write_classes, write_picture
from PIL import Image

from graft.content import digests
from graft.data.dataset import MNIST5k
from graft.inference.image_list import Item
from graft.inference.load import load
from graft.inference.predict import Row
from graft.inference.truth import Truth, pixel_hash, trained_on


def count(truth: Truth, pairs: Sequence[tuple[str | None, str]]) -> list[str]:
    for true, said in pairs:
        truth.add(Item("x", Path("x"), true), Row("x", said) if said else Row("x", error="empty file"))
    return truth.lines()


def test_the_accuracy_has_wilson_s_interval_and_the_confusions_their_shares():
    pairs = [("cat", "cat")] * 6 + [("cat", "dog")] * 2 + [("dog", "dog")] * 4
    lines = count(Truth(["cat", "dog"]), pairs)
    assert lines[0].startswith("accuracy     83.3 % (10 of 12), 55.2 to 95.3 % for other images")  # Wilson 1927
    assert lines[1:] == ["confusions   cat taken for dog: 2 of 8"]


def grouped(images_of_each: int) -> list[str]:
    """Return what is said of 12 patients, 9 of them right, each with some images that are all alike."""
    truth = Truth(["cat", "dog"], group="patient")
    for patient in range(12):
        for _ in range(images_of_each):
            truth.add(Item("x", Path("x"), "cat", f"P{patient}"), Row("x", "dog" if patient % 4 == 0 else "cat"))
    return truth.lines()


def ends(line: str) -> list[float]:
    low, high = re.findall(r"([\d.]+) to ([\d.]+) %", line)[0]
    return [float(low), float(high)]


def test_more_images_of_the_same_patients_do_not_make_the_accuracy_surer():
    one, many = grouped(1)[0], grouped(50)[0]
    assert "for other groups of images (95 %; 12 groups of the column patient)" in many
    assert ends(one) == ends(many)
    wilson = count(Truth(["cat", "dog"]), 9 * [("cat", "cat")] + 3 * [("cat", "dog")])[0]
    assert ends(many) == pytest.approx(ends(wilson), abs=5)  # Student's quantile of 11 degrees, not the normal one


def test_one_group_says_nothing_of_others_and_missing_groups_are_told():
    truth = Truth(["cat"], group="patient")
    for _ in range(3):
        truth.add(Item("x", Path("x"), "cat", "P1"), Row("x", "cat"))
    assert "100.0 % (3 of 3), no interval for other groups of images (95 %; 1 group of the" in truth.lines()[0]
    truth.add(Item("x", Path("x"), "cat"), Row("x", "cat"))
    truth.add(Item("x", Path("x"), "cat"), Row("x", "cat"))
    assert "1 group of the column patient and 2 images without one, each by itself)" in truth.lines()[0]
    lines = count(Truth(["cat"], of_groups=True), [("cat", "cat")] * 5)
    assert "too narrow if several images are of one group" in lines[1]


def test_what_is_not_counted_is_said():
    lines = count(Truth(["cat", "dog"]), [("cat", "cat"), ("cat", ""), ("bird", "cat"), (None, "dog")])
    assert lines[:2] == [
        "not counted  1 image that cannot be read",
        "not counted  2 images of classes that the model does not know (bird 1, without a class 1)",
    ]
    assert "100.0 % (1 of 1)" in lines[2]
    assert lines[3:] == ["confusions   none"]
    assert "of no image" in count(Truth(["cat"]), [("dog", "cat")])[-1]


def test_training_images_are_told(tmp_path: Path):
    for number in (1, 2):
        write_picture(tmp_path / f"{number}.bmp", number)
    first, second = digests([tmp_path / "1.bmp", tmp_path / "2.bmp"])
    columns = "number,path,hash,class,group,split,draws"
    (tmp_path / "images.csv").write_text(f"{columns}\n0,a,{first},cat,,train,3\n1,b,{second},cat,,test,0\n")
    assert trained_on(tmp_path) == {first}
    truth = Truth(["cat"], trained_on(tmp_path))
    for number in (1, 2):
        truth.add(Item("x", tmp_path / f"{number}.bmp", "cat"), Row("x", "cat"))
    assert "too high: 1 of these images were training images" in truth.lines()[1]
    (tmp_path / "images.csv").unlink()
    lost = Truth(["cat"], trained_on(tmp_path))
    lost.add(Item("x", tmp_path / "1.bmp", "cat"), Row("x", "cat"))
    assert "not known, as the job has no images.csv: whether these were its training images" in lost.lines()[1]


def test_copies_make_the_interval_too_narrow(tmp_path: Path):
    for name, number in (("a", 1), ("b", 2), ("c", 1)):
        write_picture(tmp_path / f"{name}.bmp", number)
    for group, said in (
        (None, ["             too narrow: 2 of these images are copies of others, byte for byte"]),
        ("p", []),
    ):
        truth = Truth(["cat"], group=group)
        for name in ("a", "b", "c", "a"):
            truth.add(Item("x", tmp_path / f"{name}.bmp", "cat", "P1" if name == "a" else ""), Row("x", "cat"))
        assert [line for line in truth.lines() if "copies" in line] == said


def test_images_with_two_true_classes_are_told(tmp_path: Path):
    for name, number in (("a", 1), ("b", 2), ("c", 1)):
        write_picture(tmp_path / f"{name}.bmp", number)
    truth = Truth(["cat", "dog"], group="p")
    for name, of_class in (("a", "cat"), ("b", "cat"), ("b", "cat"), ("c", "dog")):
        truth.add(Item("x", tmp_path / f"{name}.bmp", of_class, "P1"), Row("x", "cat"))
    said = "2 of these images are there with another true class, too, byte for byte: a label is wrong"
    assert truth.lines()[1].strip() == said


def test_folders_of_two_classes_names_are_told():
    truth = Truth(["cat", "dog"])
    truth.add(Item("cat/dog/x.png", Path("cat/dog/x.png"), "cat", other="dog"), Row("x", "cat"))
    truth.add(Item("cat/x.png", Path("cat/x.png"), "cat"), Row("x", "cat"))
    assert truth.lines()[1].strip() == (
        "1 image in folders of two classes' names, such as cat/dog/x.png, which counts as cat, not as dog"
    )


@pytest.mark.parametrize("number", [10, 13])
def test_many_confusions_are_cut(number: int):
    lines = count(Truth([str(each) for each in range(99)]), [("0", str(each)) for each in range(1, number + 1)])
    assert lines[-1] == ("confusions   and 3 other pairs" if number == 13 else "confusions   0 taken for 10: 1 of 10")


def test_what_predictions_say_of_their_own_worth_is_compared_with_the_truth():
    truth = Truth(["cat", "dog"])
    sure = Row("x", "cat", 0.8, "dog", None, "", "cat", 0.5, False)
    for number in range(10):
        true = "cat" if number < 7 else "dog"
        truth.add(Item("x", Path("x"), true), sure._replace(of_truth=0.8 if true == "cat" else 0.2))
    truth.add(Item("x", Path("x"), "dog"), sure._replace(classes="cat|dog", of_truth=0.2))
    truth.add(Item("x", Path("x"), "bird"), sure._replace(novelty=2.0, novel=True))
    truth.add(Item("x", Path("x"), "cat"), Row("x", error="empty file"))
    lines = truth.lines()
    loss = -(7 * math.log(0.8) + 4 * math.log(0.2)) / 11
    assert lines[3] == f"calibration  log loss {loss:.3f}, expected calibration error {100 * (0.8 - 7 / 11):.1f} %"
    assert lines[4].startswith(
        "coverage     72.7 % of the sets have the true class (95 %: 43.4 to 90.3 %), 1.09 classes"
    )
    assert lines[5:7] == [
        "novel        0.0 % of 11 images of the model's classes",
        "novel        100.0 % of 1 image of other classes",
    ]


def test_images_of_a_data_set_in_memory_are_told_by_their_pixels(run: Callable[..., dict], tmp_path: Path):
    run("source=scratch", "trials=1", "epochs=1", "dataset.test_per_class=5", "dataset.small_per_class=3")
    model, images = load(tmp_path / "job"), MNIST5k(big=[0], small=[1, 3, 5, 7, 9], test_per_class=5).images
    table = pandas.read_csv(tmp_path / "job" / "images.csv")
    truth = Truth(model.classes, trained_on(tmp_path / "job"), pixel_hash(model))
    for number, name in zip(table["number"], table["class"], strict=True):
        pixels = images.read(torch.tensor([number]))
        assert isinstance(pixels, torch.Tensor)
        path = tmp_path / f"{number}.png"
        Image.fromarray(pixels[0, 0].numpy()).save(path)
        truth.add(Item("x", path, str(name)), Row("x", str(name)))
    assert truth.seen == (table["draws"] > 0).sum() == 15
    assert truth.counts.total() == 40


def test_images_that_a_table_names_are_told_by_their_bytes(run: Callable[..., dict], tmp_path: Path):
    write_classes(tmp_path / "data", a=8, b=8)
    files = sorted((tmp_path / "data").rglob("*.bmp"))
    pandas.DataFrame({"path": files, "label": [file.parent.name for file in files]}).to_csv(tmp_path / "t.csv")
    options = [f"dataset.file={tmp_path}/t.csv", "dataset.small_per_class=3", "dataset.size=16", "backbone=cnn"]
    run("dataset=table", "dataset.big=[]", "dataset.small=all", "source=scratch", "trials=1", "epochs=1", *options)
    model = load(tmp_path / "job")
    assert pixel_hash(model) is None  # no image is decoded again
    truth = Truth(model.classes, trained_on(tmp_path / "job"), pixel_hash(model))
    for file in files:
        truth.add(Item("x", file, file.parent.name), Row("x", file.parent.name))
    assert truth.seen == 6
