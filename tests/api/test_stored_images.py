from pathlib import Path

import pytest
from PIL import Image

from graft.api.stored_images import need_files, store_pictures
from graft.errors import GraftError

PICTURES = [Image.new("L", (4 + number, 4)) for number in range(4)]


def test_pictures_are_class_folders_and_those_of_parts_where_there_are_several(tmp_path: Path):
    assert need_files(PICTURES)
    assert not need_files(PICTURES[:1] * 4)
    root = store_pictures(
        [("train", PICTURES[:2], ["train", "val"]), ("test", PICTURES[2:], ["train", "val"])], tmp_path, None
    )
    stored = sorted(path.relative_to(root).as_posix() for path in root.rglob("*.png"))
    assert stored == ["test/train/000000.png", "test/val/000001.png", "train/train/000000.png", "train/val/000001.png"]


@pytest.mark.parametrize(
    ("labels", "message"),
    [
        ([".cat", "dog"], "the class '.cat' cannot be the name of a folder"),
        (["__MACOSX", "dog"], "the class '__MACOSX' cannot be the name of a folder"),
        (["c" * 256, "dog"], "cannot be the name of a folder"),
        (["train", "test"], "classes test and train would be taken for parts of a data set; try other names"),
    ],
)
def test_classes_whose_folders_would_not_be_read_as_classes_are_refused(
    labels: list[str], message: str, tmp_path: Path
):
    with pytest.raises(GraftError, match=message):
        store_pictures([("train", PICTURES, labels * 2)], tmp_path, None)
