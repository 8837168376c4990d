import json
import os
import time
from pathlib import Path

import pytest

from graft import content
from graft.content import digests


@pytest.fixture
def files(tmp_path: Path) -> list[Path]:
    paths = [tmp_path / name for name in ("a", "b", "c")]
    for path, text in zip(paths, ("one", "two", "one"), strict=True):
        path.write_text(text)
    time.sleep(0.01)
    return paths


@pytest.fixture
def settled(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(content, "SETTLED_NS", 0)


def test_equal_contents_have_equal_digests(files: list[Path]):
    first, second, third = digests(files)
    assert first == third != second


@pytest.mark.usefixtures("settled")
def test_known_files_are_not_read_again(files: list[Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    expected = digests(files, tmp_path / "memo" / "files.json")
    monkeypatch.setattr(content, "_digest", lambda path: pytest.fail(f"{path} is read"))
    assert digests(files, tmp_path / "memo" / "files.json") == expected


@pytest.mark.usefixtures("settled")
def test_a_file_with_other_bytes_and_its_old_size_and_time_is_read_again(files: list[Path], tmp_path: Path):
    memo, stat = tmp_path / "memo.json", files[0].stat()
    one, two, _ = digests(files, memo)
    files[0].write_text("two")
    os.utime(files[0], ns=(stat.st_atime_ns, stat.st_mtime_ns))
    assert digests(files, memo) == [two, two, one]


def test_a_file_that_has_just_changed_is_not_remembered(files: list[Path], tmp_path: Path):
    memo = tmp_path / "memo.json"
    digests(files, memo)
    assert json.loads(memo.read_text()) == {}


@pytest.mark.parametrize("damaged", ["", "[]", "{", '{"a": 1}'])
def test_a_damaged_memo_is_made_anew(files: list[Path], tmp_path: Path, damaged: str):
    memo = tmp_path / "memo.json"
    expected = digests(files)
    memo.write_text(damaged)
    assert digests(files, memo) == expected
