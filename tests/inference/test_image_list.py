import io
import unicodedata
from pathlib import Path

import pytest
from folders import write_picture

from graft.errors import GraftError
from graft.inference.image_list import Item, find_images

PICTURES = ("cat/b.png", "cat/deep/a.bmp", "dog/c.png", "top.png")


@pytest.fixture
def photos(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    for number, name in enumerate(PICTURES, start=1):
        write_picture(tmp_path / "photos" / name, number)
    (tmp_path / "photos" / "notes.txt").touch()
    monkeypatch.chdir(tmp_path)
    return tmp_path / "photos"


def found(typed: str, truth: str | None = None, stdin: str = "") -> list[Item]:
    return list(find_images(typed, truth, ["cat", "dog"], io.StringIO(stdin)).items)


def names(items: list[Item]) -> list[str]:
    return [item.name for item in items]


def test_a_folder_a_file_a_pattern_and_a_list(photos: Path):
    whole = find_images("photos", None, [], io.StringIO())
    assert names(list(whole.items)) == [
        "photos/cat/b.png",
        "photos/cat/deep/a.bmp",
        "photos/dog/c.png",
        "photos/top.png",
    ]
    assert (whole.count, whole.ignored) == (4, 1)
    assert names(found(f"{photos}/")) == [
        f"{photos}/{name}" for name in ("cat/b.png", "cat/deep/a.bmp", "dog/c.png", "top.png")
    ]
    assert found("photos/top.png") == [Item("photos/top.png", Path("photos/top.png"))]
    assert names(found("photos/*/*.png")) == ["photos/cat/b.png", "photos/dog/c.png"]
    assert names(found("photos/**/*.bmp")) == ["photos/cat/deep/a.bmp"]
    assert names(found("-", stdin="x.png\n\n photos/top.png\r\n")) == ["x.png", " photos/top.png"]
    write_picture(Path("photos/[1].png"), 9)
    assert names(found("photos/[1].png")) == ["photos/[1].png"]  # a name before a pattern


@pytest.mark.parametrize(("name", "separator"), [("list.csv", ","), ("list.csv", ";"), ("list.tsv", "\t")])
def test_a_table_s_paths_are_relative_to_its_folder_or_else_to_the_working_one(photos: Path, name: str, separator: str):
    lines = [
        ["label", "path"],
        ["cat", "cat/b.png"],
        ["dog", "photos/dog/c.png"],
        ["?", "none.png"],
        ["?", ""],
        ["", ""],
    ]
    (photos / name).write_text("\ufeff" + "\n".join(separator.join(line) for line in lines))
    items = found(f"photos/{name}", "label")
    assert names(items) == ["cat/b.png", "photos/dog/c.png", "none.png", ""]
    assert [item.truth for item in items] == ["cat", "dog", "?", "?"]
    assert [item.path.is_file() for item in items] == [True, True, False, False]


def test_a_parquet_table_is_read(photos: Path):
    pyarrow = pytest.importorskip("pyarrow")
    from pyarrow import parquet  # pyright: ignore[reportMissingImports]

    parquet.write_table(pyarrow.table({"file": ["cat/b.png", None], "n": [1, 2]}), photos / "list.parquet")
    assert names(found("photos/list.parquet")) == ["cat/b.png", ""]
    assert [item.truth for item in found("photos/list.parquet", "n")] == ["1", "2"]


def test_a_table_s_groups_are_its_column_of_patients_or_the_one_that_is_typed(photos: Path):
    Path("list.csv").write_text("file,label,patient,site\nphotos/top.png,cat, P1 ,north\nphotos/cat/b.png,cat,,north\n")

    def groups(truth: str | None, group: str | None = None) -> tuple[str | None, list[str]]:
        listed = find_images("list.csv", truth, ["cat"], io.StringIO(), group)
        return listed.group, [item.group for item in listed.items]

    assert groups("label") == ("patient", ["P1", ""])
    assert groups("label", "site") == ("site", ["north", "north"])
    assert groups(None) == (None, ["", ""])
    with pytest.raises(GraftError, match="no column patiant; did you mean group=patient"):
        groups("label", "patiant")
    with pytest.raises(GraftError, match="group=patient is for the accuracy's interval"):
        groups(None, "patient")
    with pytest.raises(GraftError, match="group=patient is a table's column, but images=photos is no table"):
        find_images("photos", "folder", ["cat"], io.StringIO(), "patient")
    Path("list.csv").write_text("file,label,patient,subject\nphotos/top.png,cat,P1,S1\n")
    assert groups("label") == (None, [""])


def test_a_table_is_read_as_the_one_that_a_model_is_trained_on(photos: Path):
    """Whatever the dialect; cells are never moved to another column, nor dropped."""
    lines = "file;label, as seen\nphotos/top.png;1.0\nphotos/cat/b.png; 2.0\n"
    for text in (lines, "sep=;\n" + lines, lines.replace(";", "|")):
        Path("list.csv").write_text(text)
        items = list(find_images("list.csv", "label, as seen", ["1", "2"], io.StringIO()).items)
        assert [item.truth for item in items] == ["1", "2"]
        assert all(item.path.is_file() for item in items)
    Path("list.csv").write_text("file,label\nphotos/top.png,v2.0\n")
    assert found("list.csv", "label")[0].truth == "v2.0"


def test_the_true_class_is_the_outermost_folder_that_has_a_class_s_name(photos: Path):
    assert [item.truth for item in found("photos", "folder")] == ["cat", "cat", "dog", "photos"]
    for name in ("cat/dog/x.png", "frog/cat/x.png", "cat/p1/x.png", "bird/x.png"):  # as training reads class folders
        write_picture(Path("more") / name, 1)
    said = {item.name: (item.truth, item.other) for item in found("more", "folder")}
    assert said == {
        "more/bird/x.png": ("bird", ""),
        "more/cat/dog/x.png": ("cat", "dog"),
        "more/cat/p1/x.png": ("cat", ""),
        "more/frog/cat/x.png": ("cat", ""),
    }
    assert said == {item.name: (item.truth, item.other) for item in found("more/**/*.png", "folder")}
    assert said == {item.name: (item.truth, item.other) for item in found("-", "folder", "\n".join(said))}
    Path("list.csv").write_text("file\n" + "\n".join(said))
    assert said == {item.name: (item.truth, item.other) for item in found("list.csv", "folder")}


def test_a_class_is_known_however_its_letters_are_encoded(photos: Path):
    names = [unicodedata.normalize(form, "café") for form in ("NFC", "NFD")]
    assert names[0] != names[1]
    for name, other in (names, names[::-1]):
        write_picture(Path("more") / name / "x.png", 1)
        Path("list.csv").write_text(f"file,label\nmore/{name}/x.png,{name}\n", "utf-8")
        for typed, truth in ((f"more/{name}", "folder"), ("list.csv", "folder"), ("list.csv", "label")):
            assert [item.truth for item in find_images(typed, truth, [other], io.StringIO()).items] == [other]
    both = find_images("more", "folder", names, io.StringIO())
    assert sorted(str(item.truth) for item in both.items) == sorted(names)


def test_a_folder_above_is_the_true_class_only_if_no_class_is_below(photos: Path):
    for name in ("cat/first/x.png", "cat/mixed/dog/x.png", "cat/mixed/frog/x.png", "cat/mixed/y.png"):
        write_picture(Path(name), 1)
    for typed in ("cat/first", "cat/first/x.png", "cat/first/*.png", "cat/fir*/*.png"):
        assert [item.truth for item in found(typed, "folder")] == ["cat"]
    mixed = ["dog", "frog", "mixed"]
    assert [item.truth for item in found("cat/mixed", "folder")] == mixed
    assert [item.truth for item in found("cat/mixed/**/*.png", "folder")] == mixed
    whole = [str(Path(f"cat/mixed/{name}.png").absolute()) for name in ("dog/x", "y")]
    Path("list.csv").write_text("file\n" + "\n".join(whole))
    for items in (found("-", "folder", "\n".join(whole)), found("list.csv", "folder")):
        assert [(item.truth, item.other) for item in items] == [("dog", "cat"), ("cat", "")]
    doubtful = found("cat", "folder")  # is cat a class, or where the classes are?
    assert [(item.truth, item.other) for item in doubtful[1:3]] == [("dog", "cat"), ("frog", "")]


@pytest.mark.parametrize(
    ("typed", "truth", "said"),
    [
        ("nowhere", None, "there is no nowhere"),
        ("photos/*.gif", None, "has no images"),
        ("empty", None, r"has no images \(1 other file\)"),
        ("photos", "label", "images=photos is no table; try truth=folder"),
        ("list.csv", "lable", r"no column lable; did you mean truth=label\? it has file, label$"),
        ("list.csv", "fil", "no column fil; did you mean truth=label"),  # rather than the column of paths
        ("other.csv", None, "no column file, path, image or filename; it has a, b"),
        ("none.csv", None, "has no rows below its header"),
        ("zero.csv", None, "is no text in UTF-8"),
        ("broken.csv", None, "cannot be read"),
        ("twice.csv", "label", "has several columns label"),
        ("longer.csv", "label", "do not have the 2 cells of its header: line 2 has 3"),
    ],
)
def test_what_has_no_images_is_refused(photos: Path, typed: str, truth: str | None, said: str):
    Path("empty").mkdir()
    Path("empty/notes.txt").touch()
    Path("list.csv").write_text("file,label\nx.png,cat\n")
    Path("other.csv").write_text("a,b\n1,2\n")
    Path("none.csv").write_text("file\n")
    Path("zero.csv").write_bytes(b"file\n\0.png\n")
    Path("twice.csv").write_text("file,label,label\nx.png,cat,dog\n")
    Path("longer.csv").write_text("file,label\nx,y.png,cat\nz.png,dog\n")
    Path("broken.csv").write_text('file\n"' + "x" * 200_000)
    with pytest.raises(GraftError, match=said):
        found(typed, truth)
