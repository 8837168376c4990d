import io
import json
import shutil
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pandas
import pytest
import torch
from folders import forget, write_classes, write_picture
from PIL import Image

from graft.data.images import ImageFiles, Images
from graft.errors import GraftError
from graft.export.job_images import find_images
from graft.inference.job_images import images_of, thumbnails, unchanged_images
from graft.inference.load import load
from graft.reading.decode import decode
from graft.results.records import Record, read_records

Run = Callable[..., dict]
ONE = ("source=scratch", "dataset.size=12", "dataset.small_per_class=3", "trials=1", "epochs=1")


def record_of(folder: Path) -> Record:
    (record,) = read_records([folder]).finished
    return record


def numbers_of(record: Record) -> list[int]:
    assert record.outcomes is not None
    return record.outcomes.test.image[0].tolist()


def unchanged(record: Record, numbers: list[int], size: int, how: str = "bilinear") -> tuple[Images, dict[int, int]]:
    assert record.outcomes is not None
    return unchanged_images(record.result, record.outcomes.images.loc[numbers], size, how)


@pytest.fixture
def photos(tmp_path: Path) -> Path:
    write_classes(tmp_path / "photos", cat=12, dog=12)
    return tmp_path / "photos"


def test_thumbnails_are_the_pictures_in_the_files_and_changed_ones_are_left_out(run: Run, photos: Path, tmp_path: Path):
    run(*ONE, "dataset=image_folder", f"dataset.root={photos}")
    record = record_of(tmp_path / "job")
    first, second, *others = numbers = numbers_of(record)
    assert record.outcomes is not None
    paths = record.outcomes.images["path"]
    write_picture(photos / str(paths[first]), 999_999)
    (photos / str(paths[second])).unlink()
    found = thumbnails(record, numbers)
    assert list(found) == others
    for number in others:
        shown = np.asarray(Image.open(io.BytesIO(found[number])).convert("L"))
        np.testing.assert_array_equal(shown, np.asarray(Image.open(photos / str(paths[number])).convert("L")))
    shutil.rmtree(photos)
    with pytest.raises(GraftError, match="there is no folder"):
        thumbnails(record, numbers)


def test_all_thumbnails_of_deep_files_have_one_white(run: Run, tmp_path: Path):
    for place in range(24):
        path = tmp_path / "photos" / ("dim", "bright")[place % 2] / f"{place}.png"
        path.parent.mkdir(parents=True, exist_ok=True)
        Image.fromarray(np.full((12, 12), (400, 4000)[place % 2] + place, dtype=np.uint16)).save(path)
    run(*ONE, "dataset=image_folder", f"dataset.root={tmp_path / 'photos'}")
    record = record_of(tmp_path / "job")
    assert record.outcomes is not None
    found = thumbnails(record, numbers_of(record))
    assert len(found) > 2
    for number, content in found.items():
        dim = str(record.outcomes.images["path"][number]).startswith("dim")
        shown = np.asarray(Image.open(io.BytesIO(content)))
        assert (shown.max() < 30) if dim else (shown.min() > 240)


def test_files_are_read_again_with_the_interpolation_of_the_model(run: Run, tmp_path: Path):
    noise = np.random.default_rng(0)
    for place in range(24):
        path = tmp_path / "photos" / ("cat", "dog")[place % 2] / f"{place}.png"
        path.parent.mkdir(parents=True, exist_ok=True)
        Image.fromarray(noise.integers(0, 256, (30, 26 + place % 2), dtype=np.uint8)).save(path)
    photos = ("dataset=image_folder", f"dataset.root={tmp_path / 'photos'}")
    run(*ONE, *photos, "dataset.interpolation=bicubic", "test_curve=false")
    model, record = load(tmp_path / "job"), record_of(tmp_path / "job")
    found = find_images(model, record.result)
    assert found.paths is not None
    expected = torch.stack([decode(path, model.image_shape, interpolation="bicubic") for path in found.paths])
    assert torch.equal(next(iter(found.batches(found.test))), expected)
    forget()
    explained = unchanged(record, numbers_of(record), 12, model.reading.interpolation)[0]
    assert torch.equal(next(iter(explained.batches([found.test]))), expected)


def test_images_of_a_table_are_found_by_its_rows(run: Run, photos: Path, tmp_path: Path):
    files = sorted(photos.rglob("*.bmp"))
    table = tmp_path / "table.csv"
    pandas.DataFrame({"file": files, "label": [file.parent.name for file in files]}).to_csv(table, index=False)
    run(*ONE, "dataset=table", f"dataset.file={table}")
    record = record_of(tmp_path / "job")
    assert list(thumbnails(record, numbers_of(record))) == numbers_of(record)


def test_a_file_that_was_marked_and_cannot_be_read_does_not_hide_the_others(run: Run, photos: Path, tmp_path: Path):
    (photos / "cat" / "broken.png").write_bytes(b"no picture")
    marks = tmp_path / "marks.csv"
    marks.write_text("file,exclude\ncat/broken.png,x\n")
    run(*ONE, "dataset=image_folder", f"dataset.root={photos}", f"dataset.exclude={marks}")
    record = record_of(tmp_path / "job")
    forget()
    _, found = unchanged(record, numbers_of(record), 4)
    assert list(found) == numbers_of(record)


@pytest.mark.parametrize("source", ["image_folder", "table"])
def test_images_are_found_where_others_were_added_and_removed(run: Run, photos: Path, tmp_path: Path, source: str):
    files = sorted(photos.rglob("*.bmp"))
    table = tmp_path / "table.csv"
    pandas.DataFrame({"file": files, "label": [file.parent.name for file in files]}).to_csv(table, index=False)
    place = f"dataset.root={photos}" if source == "image_folder" else f"dataset.file={table}"
    run(*ONE, f"dataset={source}", place)
    record = record_of(tmp_path / "job")
    gone, *others = numbers_of(record)
    assert record.outcomes is not None
    root = photos if source == "image_folder" else tmp_path
    paths = {number: root / path for number, path in record.outcomes.images["path"].items()}
    write_picture(photos / "cat" / "!.bmp", 999_998)
    paths[gone].unlink()
    now = sorted(photos.rglob("*.bmp"))
    pandas.DataFrame({"file": now, "label": [file.parent.name for file in now]}).to_csv(table, index=False)
    forget()
    images, found = unchanged(record, [gone, *others], 4)
    assert list(found) == others
    assert isinstance(images, ImageFiles)
    assert [images.folder.paths[place] for place in found.values()] == [paths[each] for each in others]


@pytest.mark.parametrize(
    "target", ["graft.dataset.torch.hub.load", "graft.dataset.Path", "mine.Images", "graft.dataset", 3]
)
def test_a_result_that_names_anything_but_a_data_set_runs_nothing(tmp_path: Path, target: object):
    (tmp_path / "hubconf.py").write_text(f"open({str(tmp_path / 'ran')!r}, 'w')\ndef m(): pass\n")
    option = {"_target_": target, "repo_or_dir": str(tmp_path), "model": "m", "source": "local"}
    with pytest.raises(GraftError, match="is none of Graft's: the class is not run"):
        images_of(json.loads(json.dumps({"config": {"dataset": option}})), 8)
    assert not (tmp_path / "ran").exists()


def test_a_cache_that_cannot_be_written_to_hides_no_image(run: Run, photos: Path, tmp_path: Path):
    run(*ONE, "dataset=image_folder", f"dataset.root={photos}", f"cache={tmp_path / 'other'}")
    record = record_of(tmp_path / "job")
    shutil.rmtree(tmp_path / "other" / "listings", ignore_errors=True)
    (tmp_path / "other").mkdir(exist_ok=True)
    (tmp_path / "other" / "listings").touch()  # a file in its place
    forget()
    _, found = unchanged(record, numbers_of(record), 4)
    assert list(found) == numbers_of(record)
