"""Reports of the golden folders stay what they are; python tests/snapshots.py renews what is expected of them."""

import re
from pathlib import Path

import pytest
from snapshots import FOLDERS, picture, snapshot, stored

NUMBER = re.compile(r"(-?\d+\.?\d*(?:e[+-]?\d+)?)")


def same(text: str, expected: str) -> bool:
    """Compare texts, and numbers in them up to what processors round differently."""
    found, wanted = NUMBER.split(text.strip()), NUMBER.split(expected.strip())
    if found[::2] != wanted[::2]:
        return False
    return [float(each) for each in found[1::2]] == pytest.approx([float(each) for each in wanted[1::2]], rel=1e-6)


@pytest.mark.slow
@pytest.mark.parametrize("name", FOLDERS)
def test_a_report_of_a_golden_folder_is_as_it_was(name: str):
    found, expected = snapshot(name), stored(name)
    assert found.keys() == expected.keys()
    changed = [file for file, text in found.items() if not same(text, expected[file])]
    assert not changed, f"{changed} differ; if that is wanted, python tests/snapshots.py, and look at git diff"


def test_changes_are_seen_and_roundings_are_not():
    text = "job,accuracy\na,0.9292799999999999,p=1e-08"
    assert same(text, text.replace("0.9292799999999999", "0.92928"))
    for change in (("0.92", "0.93"), ("job", "jab"), ("1e-08", "2e-08"), ("a,", "a,,")):
        assert not same(text, text.replace(*change))
    assert not same(text, text + "\nb,1")


def test_a_picture_s_texts_and_marks_are_found():
    svg = '<svg><!-- a label --><path d="m"/><use href="#x"/><use href="#y"/><!-- two\n lines --></svg>'
    assert picture(svg) == {"texts": ["a label", "two\n lines"], "path": 1, "use": 2, "image": 0, "clipPath": 0}


def test_nothing_is_written_into_the_golden_folders():
    assert not list(Path(__file__).parent.joinpath("golden").rglob("*.png"))
