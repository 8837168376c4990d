import pytest

from graft.nouns import counted


@pytest.mark.parametrize(
    ("count", "noun", "said"),
    [
        (0, "image", "0 images"),
        (1, "image", "1 image"),
        (1, "class", "1 class"),
        (2, "class", "2 classes"),
        (12, "box", "12 boxes"),
        (1500, "validation image", "1,500 validation images"),
    ],
)
def test_one_is_singular(count: int, noun: str, said: str):
    assert counted(count, noun) == said
