import json
import multiprocessing
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


def test_equal_contents_have_equaldigests(files: list[Path]):
    first, second, third = digests(files)
    assert first == third != second


@pytest.mark.usefixtures("settled")
def test_known_files_are_not_read_again(files: list[Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    expected = digests(files, tmp_path / "memo" / "files.json")
    monkeypatch.setattr(content, "digest", lambda path: pytest.fail(f"{path} is read"))
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


@pytest.mark.usefixtures("settled")
def test_what_another_process_writes_meanwhile_is_kept(
    files: list[Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    memo, digest = tmp_path / "memo.json", content.digest

    def slow(path: Path) -> str:
        if path == files[0]:  # while this process reads its file, the other one does all its work
            digests(files[1:], memo)
        return digest(path)

    monkeypatch.setattr(content, "digest", slow)
    digests(files[:1], memo)
    assert set(json.loads(memo.read_text())) == {str(path) for path in files}


def read_often(files: list[Path], memo: Path, start, wrong) -> None:
    content.SETTLED_NS = 0
    start.wait()
    expected = digests(files)
    for turn in range(40):
        for first in range(len(files)):
            if digests(files[first:], memo) != expected[first:]:
                wrong.put(turn)
        memo.unlink(missing_ok=True)  # so that all processes write again


def test_processes_that_share_a_memo_find_the_samedigests_and_never_half_a_memo(files: list[Path], tmp_path: Path):
    memo, context = tmp_path / "memo.json", multiprocessing.get_context("fork")
    start, wrong = context.Event(), context.Queue()
    processes = [context.Process(target=read_often, args=(files, memo, start, wrong)) for _ in range(3)]
    for process in processes:
        process.start()
    start.set()
    contents = set()
    while any(process.is_alive() for process in processes):
        if memo.exists():
            try:
                contents.add(memo.read_text())
            except FileNotFoundError:  # removed meanwhile
                continue
    for process in processes:
        process.join()
        assert process.exitcode == 0
    assert wrong.empty()
    known = [json.loads(text) for text in contents]  # each is whole
    assert any(known)
    assert {name for each in known for name in each} <= {str(path) for path in files}
    assert [path.name for path in tmp_path.iterdir() if path.name.startswith(".memo")] == []
