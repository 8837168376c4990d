from pathlib import Path

import numpy as np
import pandas
import pytest
import torch
from PIL import Image

from graft.data.dataset_table import HuggingFace
from graft.errors import GraftError

datasets = pytest.importorskip("datasets")


def pictures(count: int, first: int = 0) -> list[Image.Image]:
    return [Image.fromarray(np.full((6, 6, 3), first + number, np.uint8)) for number in range(count)]


def made(count: int, first: int = 0, **columns):
    features = datasets.Features(
        {"image": datasets.Image(), "label": datasets.ClassLabel(names=["dog", "cat"])}
        | {name: datasets.Value("string") for name in columns}
    )
    labels = [number % 2 for number in range(count)]
    return datasets.Dataset.from_dict({"image": pictures(count, first), "label": labels, **columns}, features)


@pytest.fixture(autouse=True)
def offline(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr(datasets.config, "HF_HUB_OFFLINE", True)
    monkeypatch.chdir(tmp_path)


def loaded(path: Path | str, **settings) -> HuggingFace:
    given = {"big": [], "small": "all", "small_per_class": 2, "cache": "cache"} | settings
    return HuggingFace(str(path), **given)


def test_a_stored_data_set_with_its_splits(tmp_path: Path):
    splits = {"train": made(12), "validation": made(4, 20), "test": made(6, 30)}
    datasets.DatasetDict(splits).save_to_disk(str(tmp_path / "stored"))
    data = loaded(tmp_path / "stored")
    assert data.class_names == ["cat", "dog"]
    assert [len(data.images.labels), len(data.val), len(data.test)] == [22, 4, 6]
    gray = data.images.read(data.test)[:, 0, 0, 0].tolist()  # type: ignore[index]
    assert sorted(gray) == list(range(30, 36))
    labels = dict(zip(gray, data.images.labels[data.test].tolist(), strict=True))
    assert all(labels[value] == 1 - value % 2 for value in gray)  # dog, the even ones, comes second
    together = loaded(tmp_path / "stored", split=None)
    assert not together.images.test.any()


def test_a_column_of_parts_is_told_because_parts_are_splits(tmp_path: Path, caplog: pytest.LogCaptureFixture):
    said = "stored: the column split (train, test) is not read, because parts are the data set's splits, here train"
    made(12, split=["train", "train", "test"] * 4).save_to_disk(str(tmp_path / "stored"))
    loaded(tmp_path / "stored", split=None)
    assert said not in caplog.text
    assert not loaded(tmp_path / "stored").images.test.any()
    assert said in caplog.text
    made(12, split=["train"] * 12).save_to_disk(str(tmp_path / "one"))
    loaded(tmp_path / "one")
    assert "one: the column split" not in caplog.text


@pytest.mark.parametrize("key", ["label", "group"])
def test_a_column_of_lists_has_no_classes_and_no_groups(tmp_path: Path, key: str):
    several = [[number % 2, number % 3] for number in range(12)]
    held = made(12).add_column("several", several)
    if key == "label":
        held = held.remove_columns("label").rename_column("several", "label")
    held.save_to_disk(str(tmp_path / "stored"))
    with pytest.raises(GraftError, match=rf"dataset.{key} must be a column with one value an image"):
        loaded(tmp_path / "stored", **({} if key == "label" else {"group": "several"}))


def test_a_column_of_groups_with_names_is_not_taken_for_labels(tmp_path: Path):
    held = made(12).add_column("patient", [number % 4 for number in range(12)])
    held = held.cast_column("patient", datasets.ClassLabel(names=["A", "B", "C", "D"]))
    held.save_to_disk(str(tmp_path / "stored"))
    data = loaded(tmp_path / "stored")
    assert (data.class_names, {*data.images.groups}) == (["cat", "dog"], {"A", "B", "C", "D"})


@pytest.mark.parametrize("key", ["label", "group", "domain"])
def test_a_missing_number_is_no_class_and_no_group(tmp_path: Path, key: str):
    numbers = [float("nan") if number == 5 else float(number % 2) for number in range(12)]
    features = datasets.Features({"image": datasets.Image(), "kind": datasets.Value("float64")})
    held = datasets.Dataset.from_dict({"image": pictures(12), "kind": numbers}, features)
    settings: dict = {key: "kind"}
    if key != "label":
        held = held.add_column("label", ["cat", "dog"] * 6)
        settings |= {"small_domain": 1} if key == "domain" else {}
    held.save_to_disk(str(tmp_path / "stored"))
    with pytest.raises(GraftError, match=r"1 without a (label|group|value in the column)"):
        loaded(tmp_path / "stored", **settings)


def test_a_hidden_group_is_none(tmp_path: Path):
    held = made(12).add_column("patient", [-1 if number < 2 else number % 4 for number in range(12)])
    held.cast_column("patient", datasets.ClassLabel(names=["A", "B", "C", "D"])).save_to_disk(str(tmp_path / "stored"))
    with pytest.raises(GraftError, match="2 without a group"):
        loaded(tmp_path / "stored")


def test_images_are_stored_once_and_the_place_does_not_count(tmp_path: Path):
    made(12).save_to_disk(str(tmp_path / "a"))
    made(12).save_to_disk(str(tmp_path / "b"))
    first = loaded(tmp_path / "a")
    written = {path: path.stat().st_mtime_ns for path in (tmp_path / "cache" / "huggingface").rglob("*.png")}
    assert len(written) == 12
    assert loaded(tmp_path / "a").images.fingerprint == first.images.fingerprint
    assert {path: path.stat().st_mtime_ns for path in written} == written
    assert loaded(tmp_path / "b").images.fingerprint == first.images.fingerprint


def test_groups_and_parquet_files(tmp_path: Path):
    patients = [f"p{number // 3}" for number in range(12)]
    made(12, patient=patients).to_parquet(str(tmp_path / "data" / "train-00000.parquet"))
    data = loaded(tmp_path / "data")
    assert sorted(data.images.groups) == sorted(patients)
    assert loaded(tmp_path / "data", group=None).groups is None
    assert loaded(tmp_path / "data" / "train-00000.parquet").images.fingerprint == data.images.fingerprint


def test_domains(tmp_path: Path):
    sites = ["A", "B", "B"] * 8
    made(24, site=sites).save_to_disk(str(tmp_path / "a"))
    data = loaded(tmp_path / "a", domain="site", small_domain="B", big="rest")
    gray = data.images.read(torch.arange(24))[:, 0, 0, 0].tolist()  # type: ignore[index]
    assert [sites[value] for value in gray] == list(data.images.domains)
    assert {sites[gray[index]] for index in data.big} == {"A"}
    assert len(data.big) == 8
    kinds = datasets.ClassLabel(names=["mono", "poly"])
    coded = made(24, site=[str(number % 3 // 2) for number in range(24)]).cast_column("site", kinds)
    coded.save_to_disk(str(tmp_path / "b"))
    assert loaded(tmp_path / "b", domain="site", small_domain="mono").choice.domains["small"] == {"mono": 16}
    with pytest.raises(GraftError, match=r"dataset.domain must be a column of .*: image, label, site, got town"):
        loaded(tmp_path / "a", domain="town", small_domain="B")


def test_a_folder_of_images_with_metadata(tmp_path: Path):
    (tmp_path / "photos").mkdir()
    rows = [{"file_name": f"{number}.png", "species": "ab"[number % 2]} for number in range(10)]
    for row, picture in zip(rows, pictures(10), strict=True):
        picture.save(tmp_path / "photos" / row["file_name"])
    pandas.DataFrame(rows).to_csv(tmp_path / "photos" / "metadata.csv", index=False)
    data = loaded(tmp_path / "photos", label="species")
    assert data.class_names == ["a", "b"]
    assert data.images.folder.root == tmp_path / "photos"  # type: ignore[attr-defined]


def test_a_split_without_labels_is_left_out_and_named(tmp_path: Path, caplog: pytest.LogCaptureFixture):
    hidden = made(4, 40).map(lambda row: {"label": -1})
    datasets.DatasetDict({"train": made(12), "test": hidden}).save_to_disk(str(tmp_path / "stored"))
    data = loaded(tmp_path / "stored")
    assert len(data.images.labels) == 12
    assert "left out the split test of 4 rows: it has no labels" in caplog.text


@pytest.mark.parametrize(("column", "settings"), [("patient", {}), ("label", {}), ("image", {"group": None})])
def test_a_split_without_a_column_is_named(tmp_path: Path, column: str, settings: dict):
    train, test = (made(len(ids), ord(ids[0]), patient=list(ids)) for ids in ("abcdefghijkl", "wxyz"))
    other = test.remove_columns(column).add_column("other", list("abcd"))
    datasets.DatasetDict({"train": train, "test": other}).save_to_disk(str(tmp_path / "stored"))
    with pytest.raises(GraftError, match=f"stored: the split test has no column {column}, which is dataset"):
        loaded(tmp_path / "stored", **settings)
    if column == "patient":
        assert len(loaded(tmp_path / "stored", group=None).test) == 4


def test_data_sets_in_memory_are_told_apart(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(datasets.config, "IN_MEMORY_MAX_SIZE", 10**9)
    for place, first in (("a", 0), ("b", 100)):
        made(12, first).save_to_disk(str(tmp_path / place / "stored"))
        made(12, first).to_parquet(str(tmp_path / place / "files" / "train.parquet"))
    for kind in ("stored", "files"):
        for place, first in (("a", 0), ("b", 100), ("a", 0)):
            data = loaded(tmp_path / place / kind)
            gray = data.images.read(torch.arange(12))[:, 0, 0, 0].tolist()  # type: ignore[index]
            assert sorted(gray) == list(range(first, first + 12))


def test_what_is_no_data_set(tmp_path: Path):
    (tmp_path / "empty").mkdir()
    with pytest.raises(GraftError, match=r"dataset.path=empty cannot be loaded as a data set of Hugging Face"):
        loaded("empty")
    with pytest.raises(GraftError, match=r"nothing is no file .* cannot be reached, .* type dataset.path=DIR"):
        loaded("nobody/nothing")
    made(4, other=list("abcd")).save_to_disk(str(tmp_path / "a"))
    with pytest.raises(GraftError, match=r"dataset.label must be a column of .*: image, label, other, got species"):
        loaded(tmp_path / "a", label="species")
    with pytest.raises(GraftError, match=r"dataset.image must be a column of images: image, got other"):
        loaded(tmp_path / "a", image="other")
    with pytest.raises(GraftError, match=r"dataset.split must be auto, .* got fold"):
        loaded(tmp_path / "a", split="fold")
    made(4).rename_column("label", "x").cast_column("x", datasets.Value("int64")).save_to_disk(str(tmp_path / "b"))
    with pytest.raises(GraftError, match=r"surely one of labels \(columns image, x\); try dataset.label=COLUMN"):
        loaded(tmp_path / "b")
    datasets.DatasetDict({"train": made(4), "odd": made(4, 9)}).save_to_disk(str(tmp_path / "c"))
    with pytest.raises(GraftError, match=r"dataset.path=.*c has rows that cannot be used:\n4 of no part"):
        loaded(tmp_path / "c")
