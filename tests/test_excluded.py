"""dataset.exclude: marks in an audit's table leave images out, and are part of a job's identity."""

import os
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch
from folders import forget, write_classes, write_picture
from omegaconf import DictConfig
from PIL import Image

from graft.config.build import to_plain
from graft.config.identity import content_digests, job_identity
from graft.data.dataset import ImageFolder, MNIST5k
from graft.data.dataset_table import Table
from graft.data.listing import names
from graft.errors import GraftError
from graft.excluded import marked, marked_unreadable, marks_digest
from graft.page.what_ran import marked_words


def table(path: Path, *rows: str, head: str = "finding,file,hash,exclude") -> Path:
    path.write_text("\n".join([head, *rows]) + "\n")
    return path


def folder(root: Path, exclude: Path | None) -> ImageFolder:
    return ImageFolder("rest", "all", str(root), small_per_class=2, exclude=None if exclude is None else str(exclude))


@pytest.mark.parametrize("mark", ["x", "X", "1", "1.0", "yes", " true "])
def test_marks_in_several_spellings_and_separators(tmp_path: Path, mark: str):
    path = table(tmp_path / "a.csv", f"copy,cat/1.png,ab,{mark}", "copy,cat/2.png,,", "copy,cat/3.png,,no")
    assert marked(path) == {"cat/1.png": "ab"}
    spaced = table(tmp_path / "c.csv", f"cat/1.png,{mark},", "cat/2.png", "", head="file , exclude ")
    assert marked(spaced) == {"cat/1.png": ""}
    semicolons = table(tmp_path / "b.csv", f"cat/1, a.png;{mark}", head="\ufefffile;exclude")
    assert marked(semicolons) == {"cat/1, a.png": ""}


@pytest.mark.parametrize(
    ("content", "words"),
    [
        ("file,exclude\na.png,\n", "marks nothing"),
        ("finding,file,exclude\nignored,a.txt,x\n", "marks no image, only files that no data set has"),
        ("file,mark\na.png,x\n", "has no column exclude"),
        ("file,exclude\na.png,perhaps\n", "'perhaps' in its column exclude, line 2"),
        ("finding,file,exclude\nshortcut,,x\n", "names no file"),
        ("exclude,file\nx\n", "line 2, which names no file"),
        ("", "has no column exclude and file"),
        ('file,exclude\n"a.png,\nb.png,x\n', "cannot be read .CSV: unexpected end of data"),
        (f'file,exclude\n"{"a" * 200_000}",x\n', "CSV: field larger than field limit"),
        ("exclude,file,exclude\nx,a.png,\n", "has several columns exclude; leave one"),
        ("file,exclude,file\na.png,x,b.png\n", "has several columns file"),
        ("file,exclude\na\0.png,x\n", "it is not UTF-8"),
        ("file,class,exclude\na,x.png,,x\n", "more cells than its header in line 2"),
        ('file,exclude\n"a\nb.png",\nc.png,perhaps\n', "'perhaps' in its column exclude, line 4"),
    ],
)
def test_tables_without_a_clear_meaning_are_refused(tmp_path: Path, content: str, words: str):
    (tmp_path / "a.csv").write_text(content)
    with pytest.raises(GraftError, match=words):
        marked(tmp_path / "a.csv")


def test_a_missing_file_a_folder_and_other_encodings_are_refused(tmp_path: Path):
    (tmp_path / "latin.csv").write_bytes("file,exclude\nKätzchen.png,x\n".encode("latin-1"))
    for path, words in (
        (tmp_path / "none.csv", "No such file"),
        (tmp_path, "Is a dir"),
        (tmp_path / "latin.csv", "UTF-8"),
    ):
        with pytest.raises(GraftError, match=words):
            marked(path)


def test_marked_files_are_neither_drawn_nor_tested_and_are_counted(tmp_path: Path):
    write_classes(tmp_path / "root", cat=12, dog=12)
    every = folder(tmp_path / "root", None)
    out = [int(every.pool[0][0]), int(every.test[0])]
    rows = [f"copy,{name},,x" for name in names(every.images, out)]
    data = folder(tmp_path / "root", table(tmp_path / "audit.csv", *rows))
    used = {*data.test.tolist(), *[index for pool in data.pool for index in pool.tolist()]}
    assert used == set(range(24)) - set(out)
    account = data.account()
    assert account["excluded"] == 2
    assert account["ignored"] == {"left out by dataset.exclude": 2}
    assert marked_words(account) == []
    assert account["used"] + sum(account["ignored"].values()) == account["found"] == 24
    assert "excluded" not in every.account()


def test_of_equal_files_the_other_one_stays_if_the_first_is_marked(tmp_path: Path):
    write_classes(tmp_path / "root", cat=8, dog=8)
    (tmp_path / "root/dog/copy.bmp").write_bytes((tmp_path / "root/cat/00.bmp").read_bytes())
    assert folder(tmp_path / "root", None).account()["ignored"] == {"under two classes": 2}
    data = folder(tmp_path / "root", table(tmp_path / "audit.csv", "copy,dog/copy.bmp,,x"))
    assert data.account()["ignored"] == {"left out by dataset.exclude": 1}


def test_images_in_memory_are_named_by_their_place(tmp_path: Path):
    path = table(tmp_path / "audit.csv", "outlier,17,,x", "outlier,4000,,x")
    data = MNIST5k([], "all", exclude=str(path))
    used = {*data.test.tolist(), *[index for pool in data.pool for index in pool.tolist()]}
    assert used == set(range(5000)) - {17, 4000}
    assert data.account()["excluded"] == 2


def test_tables_of_another_data_set_are_refused(tmp_path: Path):
    write_classes(tmp_path / "root", cat=6, dog=6)
    data = folder(tmp_path / "root", None)
    with pytest.raises(GraftError, match=r"marks 1 of 1 names that the data set does not have: cow/1\.png"):
        folder(tmp_path / "root", table(tmp_path / "a.csv", "copy,cow/1.png,,x"))
    right, wrong = data.images.digests[:2]
    folder(tmp_path / "root", table(tmp_path / "b.csv", f"copy,cat/00.bmp,{right},x"))
    with pytest.raises(GraftError, match=r"contents are others than in the audit: cat/00\.bmp"):
        folder(tmp_path / "root", table(tmp_path / "c.csv", f"copy,cat/00.bmp,{wrong},x"))


def damaged(root: Path) -> None:
    """Write class folders of eight files each, of which three cannot be read: empty, no image, cut off."""
    write_classes(root, cat=8, dog=8)
    (root / "cat/empty.bmp").touch()
    (root / "dog/text.bmp").write_text("no image")
    noise = np.random.default_rng(0).integers(0, 256, (4, 400), dtype=np.uint8)
    Image.fromarray(noise).crop((0, 0, 4, 4)).save(root / "dog/cut.bmp")
    os.truncate(root / "dog/cut.bmp", (root / "dog/cut.bmp").stat().st_size - 6)  # its header is whole


BROKEN = ("cat/empty.bmp", "dog/text.bmp", "dog/cut.bmp")


@pytest.mark.parametrize("own", [False, True])
def test_marked_files_that_cannot_be_read_are_left_out_instead_of_refused(tmp_path: Path, own: bool):
    root = tmp_path / "root"
    damaged(root)
    with pytest.raises(GraftError, match="2 of the 19 files"):
        folder(root, None)
    rows = [f"{name},x" if own else f"unreadable,{name},,x" for name in BROKEN]
    path = table(tmp_path / "a.csv", *rows, **({"head": "file,exclude"} if own else {}))
    assert marked_unreadable(path) == (set() if own else set(BROKEN))
    data = folder(root, path)
    account = data.account()
    assert account["found"] == 19
    assert account["used"] == 16
    assert account["ignored"] == {"unreadable": 2, "left out by dataset.exclude": 1}
    assert account["excluded"] == 3
    assert marked_words(account) == ["3, 2 of them unreadable"]
    used = {*data.test.tolist(), *[index for pool in data.pool for index in pool.tolist()]}
    assert {name.rpartition("/")[2] for name in names(data.images, sorted(used))} == {
        f"{each:02}.bmp" for each in range(8)
    }
    data.images.read(torch.tensor(sorted(used)))  # every one can be decoded
    assert data.images.fingerprint == folder(root, path).images.fingerprint


@pytest.mark.parametrize(
    ("rows", "words"),
    [
        (["unreadable,cat/empty.bmp,,x"], r"1 of the 19 files .*: dog/text\.bmp"),
        (["unreadable,cat/empty.bmp,,x", "unreadable,dog/text.bmp,,"], r"1 of the 19 files .*: dog/text\.bmp"),
        (["outlier,cat/00.bmp,,x"], "2 of the 19 files"),
        (
            ["unreadable,cat/empty.bmp,,x", "unreadable,dog/text.bmp,,x", "copy,cow/1.bmp,,x"],
            r"1 of 3 names .*: cow/1\.bmp",
        ),
    ],
)
def test_other_files_that_cannot_be_read_and_unknown_names_are_still_refused(
    tmp_path: Path, rows: list[str], words: str
):
    damaged(tmp_path / "root")
    with pytest.raises(GraftError, match=words):
        folder(tmp_path / "root", table(tmp_path / "a.csv", *rows))


def test_a_mark_stays_when_the_file_is_gone_and_when_it_has_been_repaired(tmp_path: Path):
    root = tmp_path / "root"
    damaged(root)
    path = table(tmp_path / "a.csv", *[f"unreadable,{name},,x" for name in BROKEN])
    (root / "cat/empty.bmp").unlink()
    write_picture(root / "dog/text.bmp", 99)
    forget()
    data = folder(root, path)
    assert data.account()["ignored"] == {"left out by dataset.exclude": 2}
    assert data.account()["used"] == 16


def test_a_class_of_which_all_files_are_marked_and_unreadable_is_refused(tmp_path: Path):
    write_classes(tmp_path / "root", cat=8, dog=8)
    (tmp_path / "root/cow").mkdir()
    (tmp_path / "root/cow/1.bmp").touch()
    with pytest.raises(GraftError, match=r"classes without a readable image .*: cow"):
        folder(tmp_path / "root", table(tmp_path / "a.csv", "unreadable,cow/1.bmp,,x"))


@pytest.mark.parametrize("own", [False, True])
def test_a_table_s_marked_rows_without_a_file_that_can_be_read_are_left_out(tmp_path: Path, own: bool):
    root = tmp_path / "root"
    damaged(root)
    files = sorted(path.relative_to(root).as_posix() for path in root.rglob("*.bmp"))
    lines = [f"{name},{name[:3]}" for name in [*files, "cat/lost.bmp", "../elsewhere/lost.bmp"]]
    (root / "labels.csv").write_text("\n".join(["file,label", *lines[:-1], "../elsewhere/lost.bmp,dog"]) + "\n")

    def read(exclude: Path | None) -> Table:
        marks = None if exclude is None else str(exclude)
        return Table(file=str(root / "labels.csv"), big="rest", small="all", small_per_class=2, exclude=marks)

    broken = [*BROKEN, "cat/lost.bmp", "../elsewhere/lost.bmp"]
    rows = [f"{name},x" if own else f"unreadable,{name},,x" for name in broken]
    head = {"head": "file,exclude"} if own else {}
    with pytest.raises(GraftError, match=r"1 whose file does not exist.*elsewhere/lost\.bmp"):
        read(table(tmp_path / "few.csv", *rows[:-1], **head))
    account = read(table(tmp_path / "all.csv", *rows, **head)).account()
    assert account["used"] == 16
    assert account["ignored"] == {"missing": 2, "unreadable": 2, "left out by dataset.exclude": 1}
    assert marked_words(account) == ["5, 4 of them unreadable or missing"]
    assert account["found"] == 21


def test_marks_on_unreadable_files_are_part_of_a_job_s_identity(tmp_path: Path):
    """A file that is cut off is listed, and drawn, unless it is marked."""
    one = table(tmp_path / "one.csv", "copy,17,ab,x")
    two = table(tmp_path / "two.csv", "copy,17,ab,x", "unreadable,18,,x")
    three = table(tmp_path / "three.csv", "copy,17,ab,x", "ignored,notes.txt,,x")
    assert marks_digest(one) == marks_digest(three) != marks_digest(two)


def test_a_job_s_identity_has_the_marks_and_not_the_file(tmp_path: Path, configure: Callable[..., DictConfig]):
    one = table(tmp_path / "one.csv", "copy,17,ab,x", "copy,18,,")
    same = table(tmp_path / "same.csv", "18,no,more", "17,1,more", head="file,exclude,detail")
    other = table(tmp_path / "other.csv", "copy,18,,x")
    assert marks_digest(one) == marks_digest(same) != marks_digest(other)

    def identity(*words: str) -> str:
        config = to_plain(configure(*words))
        return job_identity(config, "images", (), content_digests(config))

    found = [identity(f"dataset.exclude={path}") for path in (one, same, other)]
    assert found[0] == found[1]
    assert len({*found, identity()}) == 3
    config = to_plain(configure())
    del config["dataset"]["exclude"]  # of a result without this key
    assert job_identity(config, "images") == identity()


def test_a_mark_on_a_file_that_is_in_no_data_set_does_no_harm(tmp_path: Path):
    rows = ("unreadable,cat/bad.png,,x", "ignored,notes.txt,,x", "exact copy,cat/1.png,ab,x")
    assert marked(table(tmp_path / "a.csv", *rows)) == {"cat/bad.png": "", "cat/1.png": "ab"}
