import io
import warnings
from pathlib import Path

import numpy as np
import pandas
import pytest
import torch
from PIL import Image

import graft
from graft.api.data import Data
from graft.data import load
from graft.data.dataset import Arrays
from graft.data.dataset_table import Table
from graft.errors import GraftError

X = np.random.default_rng(0).integers(0, 256, (12, 6, 5, 3), dtype=np.uint8)
Y = ["cat", "dog", "owl"] * 4


@pytest.fixture(autouse=True)
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("GRAFT_CACHE", raising=False)
    return tmp_path


def dataset(data: Data) -> Arrays:
    settings = {key: value for key, value in data.settings.items() if key != "root"}
    return Arrays("rest", "all", root=str(data.settings["root"]), small_per_class=2, **settings)


def test_arrays_are_stored_once_by_their_content(here: Path):
    data = graft.arrays(X, Y)
    root = data.settings["root"]
    assert data.option == "arrays"
    assert root.parent == Path("outputs/cache/arrays")
    stored = (here / root / "images.safetensors").stat().st_mtime_ns
    assert graft.arrays(torch.from_numpy(X).permute(0, 3, 1, 2), np.array(Y)).settings["root"] == root
    assert (here / root / "images.safetensors").stat().st_mtime_ns == stored
    for other in (graft.arrays(X[::-1], Y), graft.arrays(X, Y[::-1]), graft.arrays(X, Y, name="birds")):
        assert other.settings["root"] != root
    found = dataset(data)
    assert found.class_names == ["cat", "dog", "owl"]
    assert torch.equal(found.images.read(torch.arange(12)), torch.from_numpy(X).permute(0, 3, 1, 2))  # type: ignore[arg-type]
    assert len(found.test) == 3


def test_numbers_are_names_or_have_names():
    numbers = np.arange(12) % 3
    assert dataset(graft.arrays(X, numbers)).class_names == ["0", "1", "2"]
    named = graft.arrays(X, torch.from_numpy(numbers), classes=["cat", "dog", "owl"])
    assert named == graft.arrays(X, Y)
    assert dataset(graft.arrays(X, [2, 10] * 6)).class_names == ["2", "10"]


def test_classes_and_images_of_arrays_that_may_be_one_are_told(caplog: pytest.LogCaptureFixture):
    dataset(graft.arrays(X, ["cat", "dog", "dog "] * 4, test=(X[:3], ["cat", "dog", "dog "])))
    assert "3 images are equal to an earlier one (test/0 = train/0, test/1 = train/1" in caplog.text
    assert "different classes: 'dog' and 'dog '" in caplog.text


def test_test_images_of_one_s_own():
    found = dataset(graft.arrays(X, Y, test=(X[:3], Y[:3])))
    assert found.test.tolist() == [12, 13, 14]
    assert sum(map(len, found.pool)) == 12


def test_settings_become_words():
    data = graft.arrays(X, Y, small_per_class=5, small=["cat", "dog"])
    root = data.settings["root"]
    assert data.words() == [
        "dataset=arrays",
        f"dataset.root={root}",
        "dataset.small_per_class=5",
        "dataset.small=[cat,dog]",
    ]


@pytest.mark.parametrize("sizes", [[(6, 5), (8, 4)], [(6, 5), (6, 5)]])
def test_pictures_of_several_sizes_or_with_transparency_become_files(here: Path, sizes: list[tuple[int, int]]):
    pictures = [Image.new("RGBA", size, (200, number, 0, 128)) for number, size in enumerate(sizes * 4)]
    data = graft.arrays(pictures, ["cat", "cat", "dog", "dog"] * 2)
    assert data.option == "image_folder"
    assert graft.arrays(pictures, ["cat", "cat", "dog", "dog"] * 2) == data
    files = sorted((here / data.settings["root"]).rglob("*.png"))
    assert [path.parent.name for path in files] == ["cat"] * 4 + ["dog"] * 4
    with Image.open(files[0]) as picture:
        assert picture.mode == "RGBA"
        assert picture.tobytes() == pictures[0].tobytes()


def turned(picture: Image.Image) -> Image.Image:
    """Return a picture as a camera held upright stores it, lying, with a note to turn it."""
    output, exif = io.BytesIO(), Image.Exif()
    exif[0x0112] = 6  # turn by 90 degrees, clockwise
    picture.transpose(Image.Transpose.ROTATE_90).save(output, "PNG", exif=exif)
    return Image.open(output)


@pytest.mark.parametrize("size", [(6, 6), (8, 4)])
def test_pictures_are_stored_upright_as_files_are_read(size: tuple[int, int]):
    shades = 220 + np.arange(size[0] * size[1], dtype=np.uint8).reshape(size[::-1]) % 32
    upright = [Image.fromarray(shades + number) for number in range(4)]
    labels = ["cat", "dog"] * 2
    assert graft.arrays([turned(each) for each in upright], labels) == graft.arrays(upright, labels)
    mixed = [*upright[:3], turned(upright[3])]
    assert graft.arrays(mixed, labels) == graft.arrays(upright, labels)


def test_bytes_whose_white_may_be_another_value_are_told():
    digits = np.random.default_rng(0).integers(0, 17, (8, 6, 6))
    with pytest.warns(UserWarning, match="brightest of all pixels is 16 of 255; if that stands for white") as told:
        graft.arrays(digits.astype(np.uint8), [0, 1] * 4)
    assert told[0].filename == __file__
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        graft.arrays(digits / 16, [0, 1] * 4)


def test_there_must_be_images():
    with pytest.raises(GraftError, match="there are no images"):
        graft.arrays([], [])


@pytest.mark.parametrize(
    ("labels", "classes", "message"),
    [
        (Y[:-1], None, "one label, got 12 images and 11 labels"),
        ([0, 1, 2] * 4, ["cat", "dog"], "classes= names 2 classes, for the labels 0 to 1, but a label is 2"),
        (None, None, "must be arrays or lists, one label for each image, got ndarray and NoneType"),
        ([3] * 12, None, "all labels are '3'; add images of another class"),
        ([0.5, 1.0, 2.0] * 4, None, "texts or whole numbers, one for each image, got 0.5"),
    ],
)
def test_labels_that_cannot_be_are_refused(labels: list, classes: list[str] | None, message: str):
    with pytest.raises(GraftError, match=message):
        graft.arrays(X, labels, classes)


def test_a_class_that_cannot_be_a_folder_and_a_folder_that_is_missing_are_refused():
    pictures = [Image.new("L", (4 + number, 4)) for number in range(4)]
    with pytest.raises(GraftError, match=r"class 'a/b' cannot be the name of a folder"):
        graft.arrays(pictures, ["a/b", "c"] * 2)
    with pytest.raises(GraftError, match="there is no folder photos"):
        graft.image_folder("photos")
    with pytest.raises(GraftError, match=r"test must be \(images, labels\), got ndarray"):
        graft.arrays(X, Y, test=X)  # type: ignore[arg-type]
    with pytest.raises(GraftError, match="one shape"):
        graft.arrays(X, Y, test=(X[:, :4], Y))


def test_settings_cannot_name_another_data_set(here: Path):
    for make in (lambda: graft.arrays(X, Y, root="other"), lambda: graft.image_folder(here, root="other")):
        with pytest.raises(GraftError, match="root='other' would be another data set than the one given"):
            make()
    with pytest.raises(GraftError, match="file='other' would be another data set"):
        graft.table(pandas.DataFrame({"path": ["0.png"], "label": ["cat"]}), file="other")


def test_paths_in_an_index_are_told():
    frame = pandas.DataFrame({"path": ["0.png", "1.png"], "label": ["cat", "dog"]})
    for index in ("path", ["path", "label"]):
        with pytest.raises(GraftError, match=r"are the DataFrame's index, not a column; try table.reset_index\(\)"):
            graft.table(frame.set_index(index))
    graft.table(frame.set_index("label", drop=False))
    graft.table(frame.set_index("path", drop=False))


@pytest.mark.parametrize("name", ["../birds", "a/b", "", "-birds", 3, "b" * 300, "鳥" * 90])
def test_the_name_of_a_folder_is_no_path(name):
    with pytest.raises(GraftError, match="name must be a folder's name"):
        graft.arrays(X, Y, name=name)


def test_a_damaged_file_is_refused(here: Path):
    root = graft.arrays(X, Y).settings["root"]
    path = here / root / "images.safetensors"
    whole = path.read_bytes()
    path.write_bytes(whole[:-20] + b"\7" + whole[-19:])
    load.arrays.cache_clear()
    with pytest.raises(GraftError, match=r"no images.safetensors, or a damaged one; try graft.arrays"):
        load.arrays(str(root))
    graft.arrays(X, Y)
    load.arrays(str(root))  # the file is whole again; the order of its metadata, and so its bytes, may differ


GROUPS = [f"patient{number // 2}" for number in range(12)]


def test_groups_of_arrays_are_never_parted():
    data = graft.arrays(X, Y, groups=GROUPS)
    assert data.settings["root"] != graft.arrays(X, Y).settings["root"]
    found = dataset(data)
    assert found.images.groups == tuple(GROUPS)
    tested = {GROUPS[index] for index in found.test.tolist()}
    assert tested
    assert not tested & {GROUPS[index] for pool in found.pool for index in pool.tolist()}
    given = dataset(graft.arrays(X[:9], Y[:9], groups=[1] * 9, test=(X[9:], Y[9:], [2] * 3)))
    assert given.images.groups == ("1",) * 9 + ("2",) * 3


def test_groups_of_pictures_of_several_sizes():
    pictures = [Image.fromarray(image[: 4 + number % 2]) for number, image in enumerate(X)]
    data = graft.arrays(pictures, Y, groups=np.array(GROUPS), small_per_class=2)
    assert data.option == "table"
    found = Table(
        str(data.settings["file"]), root=str(data.settings["root"]), big=[], small="all", size=4, small_per_class=1
    )
    order = sorted(range(12), key=lambda number: (Y[number], number))
    assert found.images.groups == tuple(GROUPS[number] for number in order)


@pytest.mark.parametrize(
    ("groups", "test", "message"),
    [
        (GROUPS[:5], None, "one group, got 12 images and 5 groups"),
        ([0.5] * 12, None, "texts or whole numbers, one for each image, got 0.5"),
        (GROUPS, (X, Y), r"test must be \(images, labels, groups\)"),
        (None, (X, Y, GROUPS), r"test must be \(images, labels\), got tuple"),
    ],
)
def test_groups_without_a_meaning(groups, test, message: str):
    with pytest.raises(GraftError, match=message):
        graft.arrays(X, Y, groups=groups, test=test)


def test_a_data_frame_is_stored_as_a_table(here: Path):
    for number, image in enumerate(X):
        Image.fromarray(image).save(here / f"{number}.png")
    frame = pandas.DataFrame({
        "path": [f"{number}.png" for number in range(12)],
        "species": pandas.Categorical(Y),
        "patient": pandas.array([number // 2 for number in range(12)], dtype="Int64"),
    })  # fmt: skip
    data = graft.table(frame, label="species", small_per_class=2)
    assert data.settings["file"].parent == Path("outputs/cache/tables")
    assert graft.table(frame.copy(), label="species", small_per_class=2) == data
    settings = {**data.settings, "file": str(data.settings["file"]), "root": str(data.settings["root"])}
    found = Table(**settings, big=[], small="all")
    assert found.class_names == ["cat", "dog", "owl"]
    assert sorted(found.images.groups) == sorted(str(number // 2) for number in range(12))
    frame.to_csv("labels.csv", index=False)
    assert graft.table("labels.csv") == Data("table", {"file": Path("labels.csv")})
    assert graft.table(["labels.csv", Path("labels.csv")]).words()[1] == "dataset.file=[labels.csv,labels.csv]"
    words = graft.table(frame, label="species", small_per_class=1, pad=3).words()
    answer = graft.run([*words, "source=scratch", "trials=2", "epochs=1"])
    assert answer.best.result["images"]["groups"]
    lists = graft.table(frame.assign(species=[[name, "pet"] for name in Y[:11]] + ["cat"]), label="species").settings
    with pytest.raises(GraftError, match="has one class only, <list>"):
        Table(**{**settings, "file": str(lists["file"])}, big=[], small="all")


@pytest.mark.parametrize(
    ("table", "message"), [("no.csv", "there is no file no.csv"), (3, "or a DataFrame, got int"), ([], "got list")]
)
def test_what_is_no_table(table, message: str):
    with pytest.raises(GraftError, match=message):
        graft.table(table)
