"""The largest values of files with more than 8 bits a channel: each is found once, whatever its file is called."""

import json
import shutil
from pathlib import Path

import numpy as np
import pytest
from folders import forget, settle
from pixel_files import write_tiff

from graft.errors import GraftError
from graft.reading import decode
from graft.reading.class_folders import list_folder

PEAKS = {"cat/a.tif": 300, "cat/b.tif": 4095, "dog/a.tif": 0.5, "dog/b.tif": 7}


@pytest.fixture
def root(tmp_path: Path) -> Path:
    for name, peak in PEAKS.items():
        path = tmp_path / "root" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        kind = "<f4" if isinstance(peak, float) else "u1" if peak < 256 else "<u2"
        write_tiff(path, np.array([[[0], [peak]]], kind))
    settle(tmp_path / "root")
    return tmp_path / "root"


@pytest.fixture
def decoded(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """Return the kinds of the files that have been decoded to find their peaks."""
    kinds: list[str] = []
    measure = decode.measure

    def counted(image, kind: str):
        kinds.append(kind)
        return measure(image, kind)

    monkeypatch.setattr(decode, "measure", counted)
    return kinds


def peaks(root: Path, memo: Path | None) -> list[float | None]:
    """Return the files' peaks as a new process finds them."""
    forget()
    return [file.header.deep and file.header.deep.peak for file in list_folder(str(root), False, None, memo).files]


def test_the_second_start_decodes_nothing(root: Path, tmp_path: Path, decoded: list[str]):
    memo = tmp_path / "cache" / "digests.json"
    expected = [300.0, 4095.0, 0.5, None]
    assert peaks(root, memo) == expected
    assert sorted(decoded) == ["real", "whole", "whole"]
    decoded.clear()
    assert peaks(root, memo) == expected
    copy = tmp_path / "copy"
    shutil.copytree(root, copy)
    assert peaks(copy, memo) == expected
    assert decoded == []
    assert peaks(root, None) == expected
    assert len(decoded) == 3


def test_a_changed_file_is_measured_again(root: Path, tmp_path: Path, decoded: list[str]):
    memo = tmp_path / "digests.json"
    peaks(root, memo)
    decoded.clear()
    write_tiff(root / "cat/a.tif", np.array([[[0], [1000]]], "<u2"))
    assert peaks(root, memo) == [1000.0, 4095.0, 0.5, None]
    assert decoded == ["whole"]


@pytest.mark.parametrize("damage", ["{", "[]", "other version", "other kind", "no number"])
def test_a_damaged_or_an_old_memo_is_made_anew(root: Path, tmp_path: Path, decoded: list[str], damage: str):
    memo = tmp_path / "digests.json"
    expected = peaks(root, memo)
    place = tmp_path / "peaks.json"
    known = json.loads(place.read_text())
    changed = {"other version": [0, "whole", 1.0], "other kind": [2, "coarse", 1.0], "no number": [2, "whole", "1"]}
    place.write_text(json.dumps(dict.fromkeys(known, changed[damage])) if damage in changed else damage)
    decoded.clear()
    assert peaks(root, memo) == expected
    assert len(decoded) == 3
    assert json.loads(place.read_text()) == known


def test_a_file_that_cannot_be_measured_is_named_each_time(root: Path, tmp_path: Path):
    write_tiff(root / "dog/a.tif", np.array([[[0], [-3]]], "<i2"))
    for _ in range(2):
        with pytest.raises(GraftError, match=r"dog/a.tif \(it has negative values, down to -3"):
            peaks(root, tmp_path / "digests.json")
