import os
import sys
from importlib import reload
from pathlib import Path
from types import SimpleNamespace

import pytest

from graft.errors import GraftError
from graft.reading import pictures


def test_the_package_for_phones_pictures_is_used_if_it_is_there(monkeypatch: pytest.MonkeyPatch):
    called = []
    monkeypatch.setitem(
        sys.modules, "pillow_heif", SimpleNamespace(register_heif_opener=lambda: called.append("register"))
    )
    reload(pictures)
    assert called == ["register"]


def test_a_folder_s_pictures_are_found_at_any_depth_and_others_counted(tmp_path: Path):
    for name in ("b.png", "a/2.JPG", "a/.hidden.png", "a/notes.txt", "Thumbs.db", "a/b/c/1.bmp"):
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).touch()
    (tmp_path / "a" / "again").symlink_to(tmp_path, target_is_directory=True)
    found, others = pictures.pictures_below(tmp_path)
    assert [str(path.relative_to(tmp_path)) for path in found] == ["a/2.JPG", "a/b/c/1.bmp", "b.png"]
    assert others == 1


def test_a_folder_inside_that_cannot_be_read_is_listed_and_one_s_own_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    (tmp_path / "a").mkdir()
    (tmp_path / "b.png").touch()
    scandir = os.scandir

    def refuse(path: Path):
        if path in refused:
            raise PermissionError(13, "Permission denied")
        return scandir(path)

    monkeypatch.setattr(os, "scandir", refuse)  # the tests may run as root, who may read every folder
    refused = [tmp_path / "a"]
    assert pictures.pictures_below(tmp_path) == ([tmp_path / "a", tmp_path / "b.png"], 0)
    refused = [tmp_path]
    with pytest.raises(GraftError, match="cannot be read: Permission denied"):
        pictures.pictures_below(tmp_path)
