"""What is remembered of a listing is what reading all files anew finds, whatever has happened to them."""

import multiprocessing
import os
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from folders import forget, write_classes, write_picture
from PIL import Image
from pixel_files import write_tiff

from graft import content
from graft.errors import GraftError
from graft.reading import known_files
from graft.reading.class_folders import Folder, list_folder
from graft.tables.table_files import list_table
from graft.tables.table_rows import Listing


@pytest.fixture(autouse=True)
def settled(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(content, "SETTLED_NS", 0)


@pytest.fixture
def root(tmp_path: Path) -> Path:
    write_classes(tmp_path / "root", cat=3, dog=3)
    write_tiff(tmp_path / "root/cat/deep.tif", np.array([[[0], [300]]], "<u2"))
    write_tiff(tmp_path / "root/dog/real.tif", np.array([[[0], [0.5]]], "<f4"))
    time.sleep(0.02)  # clocks of file systems tick
    return tmp_path / "root"


@pytest.fixture
def read(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """Return the names of the files that have been read."""
    names: list[str] = []

    def counted(function: Callable) -> Callable:
        def run(path: Path):
            names.append(path.name)
            return function(path)

        return run

    for name in ("header", "header_if_decodable"):
        monkeypatch.setattr(known_files, name, counted(getattr(known_files, name)))
    return names


def listed(root: Path, cache: Path | None, skip: bool = False, **settings) -> Folder:
    """List a folder as a new process does."""
    forget()
    return list_folder(str(root), skip, cache=cache, **settings)


def test_the_second_start_reads_nothing(root: Path, tmp_path: Path, read: list[str]):
    first = listed(root, tmp_path)
    assert len(read) == 8
    read.clear()
    second = listed(root, tmp_path)
    assert read == []
    assert second.files == first.files == listed(root, None).files
    assert [file.header.deep and file.header.deep.peak for file in second.files][3::4] == [300, 0.5]
    assert [file.num_bytes for file in second.files] == [path.stat().st_size for path in second.paths]


def test_a_relative_root_knows_what_an_absolute_one_has_read(
    root: Path, tmp_path: Path, read: list[str], monkeypatch: pytest.MonkeyPatch
):
    first = listed(root, tmp_path)
    read.clear()
    monkeypatch.chdir(root)
    assert listed(Path("."), tmp_path).digests == first.digests
    assert listed(Path("."), tmp_path).identity == first.identity
    assert read == []


def rewritten(root: Path) -> None:
    """Give a file another content, of the same size and with its old time."""
    path = root / "cat/00.bmp"
    before = path.stat()
    path.write_bytes((root / "dog/01.bmp").read_bytes()[::-1][:1] + path.read_bytes()[1:])
    write_picture(path, 77)
    assert path.stat().st_size == before.st_size
    os.utime(path, ns=(before.st_atime_ns, before.st_mtime_ns))


def replaced(root: Path) -> None:
    """Rename another file of the same size and time onto a file."""
    path, other = root / "cat/00.bmp", root.parent / "other.bmp"
    write_picture(other, 78)
    os.utime(other, ns=(path.stat().st_atime_ns, path.stat().st_mtime_ns))
    other.rename(path)


def swapped(root: Path) -> None:
    """Exchange two files by renaming them, which changes no content, size or time of modification."""
    one, two, between = root / "cat/00.bmp", root / "dog/00.bmp", root.parent / "between.bmp"
    one.rename(between)
    two.rename(one)
    between.rename(two)


def linked(root: Path) -> None:
    """Let a name that was a file be a link to another one."""
    (root / "cat/00.bmp").unlink()
    (root / "cat/00.bmp").symlink_to(root / "dog/00.bmp")


def grown(root: Path) -> None:
    """Make a file a picture of another size and color."""
    Image.new("RGB", (9, 7), "red").save(root / "cat/00.bmp")


CHANGES = {
    "nothing": (lambda root: None, []),
    "added": (lambda root: write_picture(root / "cat/09.bmp", 79), ["09.bmp"]),
    "removed": (lambda root: (root / "cat/00.bmp").unlink(), []),
    "renamed": (lambda root: (root / "cat/00.bmp").rename(root / "cat/08.bmp"), ["08.bmp"]),
    "class renamed": (lambda root: (root / "cat").rename(root / "cow"), ["00.bmp", "01.bmp", "02.bmp", "deep.tif"]),
    "rewritten": (rewritten, ["00.bmp"]),
    "replaced": (replaced, ["00.bmp"]),
    "swapped": (swapped, ["00.bmp", "00.bmp"]),
    "linked": (linked, ["00.bmp"]),
    "grown": (grown, ["00.bmp"]),
    "touched": (lambda root: (root / "cat/00.bmp").touch(), ["00.bmp"]),
    "deep": (lambda root: write_tiff(root / "cat/deep.tif", np.array([[[0], [999]]], "<u2")), ["deep.tif"]),
}


@pytest.mark.parametrize("change", CHANGES)
def test_whatever_changes_only_changed_files_are_read(root: Path, tmp_path: Path, read: list[str], change: str):
    listed(root, tmp_path)
    make, expected = CHANGES[change]
    make(root)
    time.sleep(0.02)
    read.clear()
    found = listed(root, tmp_path)
    assert sorted(read) == expected
    assert found.files == listed(root, None).files
    read.clear()
    assert listed(root, tmp_path).files == found.files
    assert read == []


def stored(cache: Path) -> Path:
    (path,) = (cache / "listings").iterdir()
    return path


@pytest.mark.parametrize("damage", ["empty", "cut off", "a digit", "no text", "another listing", "no checksum"])
def test_a_damaged_memory_is_never_trusted_and_made_anew(root: Path, tmp_path: Path, read: list[str], damage: str):
    expected = listed(root, tmp_path).files
    path = stored(tmp_path)
    good = path.read_bytes()
    listed(root, tmp_path / "other", max_pixels=10**6)
    place = good.rindex(b'"]') - 3  # in a digest
    path.write_bytes(
        {
            "empty": b"",
            "cut off": good[:-40],
            "a digit": good[:place] + (b"0" if good[place : place + 1] != b"0" else b"1") + good[place + 1 :],
            "no text": b"\xff\xfe\x00",
            "another listing": stored(tmp_path / "other").read_bytes(),
            "no checksum": good.partition(b"\n")[2],
        }[damage]
    )
    read.clear()
    assert listed(root, tmp_path).files == expected
    assert len(read) == 8
    assert path.read_bytes() == good


def test_a_file_that_has_just_changed_is_read_again(root: Path, tmp_path: Path, read: list[str], monkeypatch):
    monkeypatch.setattr(content, "SETTLED_NS", 10**12)
    listed(root, tmp_path)
    read.clear()
    listed(root, tmp_path)
    assert len(read) == 8


def test_a_file_that_cannot_be_read_is_tried_again(root: Path, tmp_path: Path, read: list[str]):
    picture = (root / "cat/00.bmp").read_bytes()
    (root / "cat/00.bmp").write_bytes(picture[:10])
    for _ in range(2):
        with pytest.raises(GraftError, match=r"cat/00.bmp"):
            listed(root, tmp_path)
    assert read.count("00.bmp") == 3  # each time, and the dog's once
    assert read.count("01.bmp") == 2


def test_what_a_header_says_is_not_taken_for_a_check_of_the_whole_file(root: Path, tmp_path: Path):
    path = root / "cat/00.bmp"
    Image.fromarray(np.random.default_rng(0).integers(0, 256, (60, 60), dtype=np.uint8)).save(path, "BMP")
    os.truncate(path, path.stat().st_size - 1000)
    time.sleep(0.02)
    assert len(listed(root, tmp_path).files) == 8  # its header is whole
    assert len(listed(root, tmp_path, skip=True).files) == 7
    assert len(listed(root, tmp_path).files) == 8


def test_another_limit_of_pixels_is_another_listing(root: Path, tmp_path: Path):
    listed(root, tmp_path)
    with pytest.raises(GraftError, match="above the limit"):
        listed(root, tmp_path, max_pixels=10)


def test_tables_are_remembered_too(root: Path, tmp_path: Path, read: list[str]):
    lines = [f"{path.relative_to(root)},{path.parent.name}" for path in sorted(root.rglob("*.*"))]
    (root / "labels.csv").write_text("\n".join(["file,label", *lines]) + "\n")
    found = []
    for _ in range(2):
        list_table.cache_clear()
        found.append(list_table(Listing((str(root / "labels.csv"),)), False, None, tmp_path / "cache").files)
    assert found[0] == found[1]
    assert len(read) == 8


def test_of_many_listings_those_used_last_are_remembered(root: Path, tmp_path: Path, read: list[str], monkeypatch):
    monkeypatch.setattr(known_files, "KEPT", 3)
    for limit in (101, 102, 103, 101, 104):  # another limit is another listing
        listed(root, tmp_path, max_pixels=limit)
    assert len(list((tmp_path / "listings").iterdir())) == 3
    read.clear()
    for limit in (101, 103, 104):
        listed(root, tmp_path, max_pixels=limit)
    assert read == []
    listed(root, tmp_path, max_pixels=102)
    assert len(read) == 8


def list_often(root: Path, cache: Path, start, wrong) -> None:
    start.wait()
    expected = listed(root, None).files
    for turn in range(30):
        if listed(root, cache).files != expected:
            wrong.put(turn)
        if turn % 3 == 0:
            for path in (cache / "listings").glob("[!.]*.json"):
                path.unlink(missing_ok=True)  # so that all processes write again


def test_a_process_that_is_killed_while_it_reads_goes_on(root: Path, tmp_path: Path, read: list[str], monkeypatch):
    monkeypatch.setattr(known_files, "AT_ONCE", 1)
    monkeypatch.setattr(known_files, "KEEP_EVERY", -1.0)
    counted = known_files.header

    def killed(path: Path):
        if path.name == "real.tif":  # the last one
            raise KeyboardInterrupt
        return counted(path)

    with monkeypatch.context() as context:
        context.setattr(known_files, "header", killed)
        with pytest.raises(KeyboardInterrupt):
            listed(root, tmp_path / "cache")
    read.clear()
    assert listed(root, tmp_path / "cache").digests == listed(root, None).digests
    assert read[0] == "real.tif"
    assert len(read) == 1 + 8


def test_processes_share_a_memory(root: Path, tmp_path: Path):
    context = multiprocessing.get_context("fork")
    start, wrong = context.Event(), context.Queue()
    processes = [context.Process(target=list_often, args=(root, tmp_path, start, wrong)) for _ in range(3)]
    for process in processes:
        process.start()
    start.set()
    for process in processes:
        process.join()
        assert process.exitcode == 0
    assert wrong.empty()
    assert [path.name for path in (tmp_path / "listings").iterdir() if path.name.startswith(".")] == []
