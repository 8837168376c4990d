"""Stored outcomes that are damaged, or belong to something else, are refused with a reason."""

import hashlib
import json
import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from conftest import ROOT
from safetensors import safe_open
from safetensors.numpy import save

from graft.job_folder import IMAGES, OUTCOMES, RESULT
from graft.report.outcome_files import checksum
from graft.report.outcomes import read_outcomes

ROWS = ["3,test/a.png,aa,cat,,test,0", "5,train/b.png,bb,cat,,train+val,1", "8,test/c.png,cc,dog,,test,0"]
HEADER = "number,path,hash,class,group,split,draws"
TRIALS = [
    {"seed": 0, "accuracy": 0.5, "correct": 1, "tested": 2, "val_accuracy": 1.0, "val_correct": 1, "val_tested": 1},
    {"seed": 1, "accuracy": None, "error": "NaN"},
    {"seed": 4, "accuracy": 1.0, "correct": 2, "tested": 2, "val_accuracy": 0.0, "val_correct": 0, "val_tested": 1},
]

Change = Callable[[dict], object]


def write(folder: Path, tensors: Change | None = None, about: Change | None = None, rows: list[str] = ROWS) -> None:
    """Write the files of a job of two finished trials, with tensors and description changed after the checksum."""
    content = "\n".join([HEADER, *rows, ""]).encode()
    (folder / IMAGES).write_bytes(content)
    half = np.float16
    arrays = {
        "prediction": np.array([[0, 0], [0, 1]], np.uint8),
        "probability": np.array([[[0.75, 0.25], [0.5, 0.5]], [[1, 0], [0.25, 0.75]]], half),
        "label": np.array([0, 1], np.uint8),
        "image": np.array([3, 8], np.int32),
        "val_prediction": np.array([[0], [1]], np.uint8),
        "val_probability_of_label": np.array([[0.75], [0.25]], half),
        "val_label": np.array([[0]], np.uint8),
        "val_image": np.array([[5]], np.int32),
    }
    if tensors:
        tensors(arrays)
    told = {"format": 1, "seeds": [0, 4], "classes": ["cat", "dog"], "views": 1, "identity": "x"}
    told |= {"images": hashlib.sha256(content).hexdigest(), "sha256": checksum(arrays)}
    if about:
        about(told)
    (folder / OUTCOMES).write_bytes(save(arrays, {"graft": json.dumps(told)}))
    (folder / RESULT).write_text(json.dumps({"identity": "x", "trials": TRIALS}))


def test_stored_outcomes_are_read(tmp_path: Path):
    assert read_outcomes(tmp_path) is None
    write(tmp_path)
    found = read_outcomes(tmp_path)
    assert found is not None
    assert (found.seeds, found.classes, found.views) == ([0, 4], ["cat", "dog"], 1)
    assert found.test.correct.tolist() == [[True, False], [True, True]]
    assert found.test.probability_of_label.tolist() == [[0.75, 0.5], [1, 0.75]]
    assert found.test.image.tolist() == [[3, 8]]
    assert found.images.loc[found.test.image[0], "hash"].tolist() == ["aa", "cc"]
    assert found.images["draws"].tolist() == [0, 1, 0]
    assert found.val is not None
    assert found.val.probability is None
    assert found.val.shared


def put(name: str, value: object, kind: type = np.uint8) -> Change:
    return lambda arrays: arrays.update({name: np.array(value, kind)})


def drop(name: str) -> Change:
    return lambda mapping: mapping.pop(name)


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        (drop("prediction"), "it has no tensor prediction"),
        (drop("val_image"), "it has no tensor val_image"),
        (drop("probability"), "it has no tensor probability"),
        (lambda arrays: [arrays.pop(name) for name in list(arrays) if "val" not in name], "no tensor prediction"),
        (put("prediction", [[0, 0]]), r"its prediction has the shape \(1, 2\), expected \(2, 2\)"),
        (put("prediction", 0), r"its prediction has the shape \(\)"),
        (put("label", [0]), r"its label has the shape \(1, 1\), expected \(1, 2\) or \(2, 2\)"),
        (put("image", [[3, 8]] * 2, np.int32), r"its image has the shape \(2, 2\), expected \(1, 2\)"),
        (put("val_probability_of_label", [[0.5]], np.float16), "its val_probability_of_label has the shape"),
        (put("val_probability_of_label", [[np.nan], [0.5]], np.float16), "something else than numbers from 0 to 1"),
        (put("val_probability_of_label", [[1.5], [0.5]], np.float16), "something else than numbers from 0 to 1"),
        (put("probability", [[[0.5, 0.25]] * 2] * 2, np.float16), "its probability of some image does not sum to 1"),
        (put("probability", [[[0.25, 0.75]] * 2] * 2, np.float16), "is largest for another class than its prediction"),
        (put("label", [0, 2]), "its label has something else than whole numbers from 0 to 1"),
        (put("label", [0, 1], np.float32), "its label has something else than whole numbers"),
        (put("image", [3, 7], np.int32), "its images.csv has no image 7"),
        (put("image", [8, 3], np.int32), "its test images are not sorted by number"),
        (put("image", [3, 5], np.int32), "its images.csv has a test image in another split"),
        (put("label", [1, 1]), "its images.csv has a test image of another class"),
        (put("val_prediction", [[1], [1]]), "its trial of seed 0 has 0 of 1 validation images right, .* says 1 of 1"),
    ],
)
def test_inconsistent_tensors_are_refused(tmp_path: Path, change: Change, reason: str):
    write(tmp_path, change)
    with pytest.raises(ValueError, match=reason):
        read_outcomes(tmp_path)


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        (drop("format"), "no format"),
        (lambda about: about.update(format=2), "its format is 2, the newest known is 1; update Graft"),
        (lambda about: about.update(seeds=[0, 0]), "no list of different seeds"),
        (lambda about: about.update(seeds=[0, "4"]), "something else than seeds"),
        (lambda about: about.update(seeds=[0, 5]), "its seeds are 0, 5, those of result.json are 0, 4"),
        (lambda about: about.update(classes=["cat"]), "its prediction has .*|its probability has the shape"),
        (lambda about: about.update(identity="y"), "its result.json is that of another job"),
        (lambda about: about.update(sha256="0"), "its tensors have another checksum"),
        (lambda about: about.update(images="0"), "its images.csv is that of another run, or was changed"),
        (drop("views"), "its metadata have no views"),
    ],
)
def test_other_descriptions_are_refused(tmp_path: Path, change: Change, reason: str):
    write(tmp_path, about=change)
    with pytest.raises(ValueError, match=reason):
        read_outcomes(tmp_path)


@pytest.mark.parametrize(
    ("rows", "reason"),
    [
        ([ROWS[0].replace(",aa,", ",,"), *ROWS[1:]], "its images.csv is damaged: it has an image without a hash"),
        (ROWS[::-1], "its images.csv is damaged: its numbers or draws are not those of sorted images"),
        (["x" + ROWS[0]], "its images.csv is damaged: "),
        (["9" * 30 + ROWS[0]], "its images.csv is damaged: "),
        ([ROWS[0] + ",1,2", "1"], "its images.csv is damaged: "),
    ],
)
def test_a_damaged_list_of_images_is_refused(tmp_path: Path, rows: list[str], reason: str):
    write(tmp_path, rows=rows)
    with pytest.raises(ValueError, match=reason):
        read_outcomes(tmp_path)


@pytest.mark.parametrize("name", [OUTCOMES, IMAGES, RESULT])
def test_missing_and_cut_files_are_refused(tmp_path: Path, name: str):
    write(tmp_path)
    content = (tmp_path / name).read_bytes()
    for cut in (content[:-3], b""):
        (tmp_path / name).write_bytes(cut)
        with pytest.raises(ValueError, match=r"damaged|changed"):
            read_outcomes(tmp_path)
    (tmp_path / name).unlink()
    with pytest.raises(ValueError, match="there is n"):
        read_outcomes(tmp_path)
    (tmp_path / name).mkdir()
    with pytest.raises(ValueError, match="it is a folder"):
        read_outcomes(tmp_path)


def test_a_changed_bit_and_a_foreign_file_are_refused(tmp_path: Path):
    write(tmp_path)
    content = bytearray((tmp_path / OUTCOMES).read_bytes())
    content[-1] ^= 1
    (tmp_path / OUTCOMES).write_bytes(content)
    with pytest.raises(ValueError, match="another checksum"):
        read_outcomes(tmp_path)
    (tmp_path / OUTCOMES).write_bytes(save({"prediction": np.zeros(3)}))
    with safe_open(tmp_path / OUTCOMES, "np") as file:
        assert not file.metadata()
    with pytest.raises(ValueError, match="no description"):
        read_outcomes(tmp_path)


def test_reading_needs_no_torch(tmp_path: Path):
    write(tmp_path)
    script = f"import sys; from pathlib import Path; from graft.report.outcomes import read_outcomes; \
read_outcomes(Path({str(tmp_path)!r})); print('torch' in sys.modules)"
    environment = {**os.environ, "PYTHONPATH": str(ROOT / "src")}
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True, env=environment)
    assert done.stdout.split() == ["False"]
