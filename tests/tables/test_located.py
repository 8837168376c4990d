from pathlib import Path

from graft.tables.located import Located


def written(root: Path, *names: str) -> None:
    for name in names:
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).write_bytes(b"")


def test_paths_in_several_forms(tmp_path: Path):
    written(tmp_path, "photos/a cat/1.jpg", "photos/ü.jpg", "back\\slash.jpg")
    located, cat = Located(), tmp_path / "photos" / "a cat" / "1.jpg"
    for text in ("photos/a cat/1.jpg", "photos\\a cat\\1.jpg", "./photos//a cat/../a cat/1.jpg", f" {cat} ", str(cat)):
        assert located(tmp_path, text) == cat, text
    assert located(tmp_path, "back\\slash.jpg") == tmp_path / "back\\slash.jpg"
    assert located(tmp_path / "photos", "../photos/ü.jpg") == tmp_path / "photos" / "ü.jpg"


def test_no_file(tmp_path: Path):
    written(tmp_path, "photos/1.jpg")
    (tmp_path / "link.jpg").symlink_to("nowhere.jpg")
    for text in ("", " ", ".", "photos", "2.jpg", "link.jpg", "a\0b", "x" * 5000, "http://x.org/1.jpg", "C:\\1.jpg"):
        assert Located()(tmp_path, text) is None, text


def test_names_without_a_suffix(tmp_path: Path):
    written(tmp_path, "a/0001.jpg", "a/0002.jpg", "a/0002.png", "a/v1.2.png", "a/0001.txt")
    located = Located()
    assert located(tmp_path, "a/0001") == tmp_path / "a" / "0001.jpg"
    assert located(tmp_path, "a/v1.2") == tmp_path / "a" / "v1.2.png"
    assert located(tmp_path, "a/0002") is None  # which one?
    assert Located(".png")(tmp_path, "a/0002") == tmp_path / "a" / "0002.png"
    assert Located(".png")(tmp_path, "a/0001") is None
    assert located.suffixes == {".jpg": 1, ".png": 1}
