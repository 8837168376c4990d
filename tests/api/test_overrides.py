from pathlib import Path

import numpy as np
import pytest

from graft.api.overrides import as_words, is_sweep
from graft.errors import GraftError


@pytest.mark.parametrize(
    ("value", "typed"),
    [
        ("dense512", "dense512"),
        (["plain", "dense512"], "plain,dense512"),
        (("cat", "dog"), "[cat,dog]"),
        ([("cat", "dog"), ("cat", "owl")], "[cat,dog],[cat,owl]"),
        (True, "true"),
        (None, "null"),
        (1e-4, "0.0001"),
        (np.float32(0.5), "0.5"),
        (np.int64(3), "3"),
        (np.True_, "true"),
        (Path("photos"), "photos"),
        (Path("my, photos"), "'my, photos'"),
        (Path("Anna's=1"), r"'Anna\'s=1'"),
        ({"low": 0.8, "high": 0.9}, "{low:0.8,high:0.9}"),
    ],
)
def test_values_become_what_one_types(value: object, typed: str):
    assert as_words({"key": value}) == [f"key={typed}"]


def test_words_stay_and_are_made_readable():
    assert as_words(["head=plain", "source.path=outputs/dropout=0/w.pt"]) == [
        "head=plain",
        "source.path='outputs/dropout=0/w.pt'",
    ]
    assert as_words("head=plain") == ["head=plain"]


@pytest.mark.parametrize(
    ("overrides", "message"),
    [
        (["-m", "head=plain"], "'-m' is no override; try"),
        ([3], "3 is no override"),
        ([np.float64(3)], "^3.0 is no override"),
        ({"head": object()}, "is no value of a configuration"),
        (["head=plain", "head=dense"], "head is typed twice, as plain and dense"),
        ({"head": ("plain", "dense")}, r"head must be one option, got .*; try head=plain,dense for a sweep"),
    ],
)
def test_other_things_are_refused(overrides: list[str], message: str):
    with pytest.raises(GraftError, match=message):
        as_words(overrides)


@pytest.mark.parametrize(
    ("word", "sweep"),
    [
        ("head=plain", False),
        ("head=plain,dense", True),
        ("dataset.small=[1,3]", False),
        ("dataset.small=[1,3],[1,5]", True),
        ("experiment=glob(lecture_*)", True),
        ("dropout=range(0,1,0.5)", True),
        ("sweep=optuna", True),
        ("sweep=grid", False),
        ("~reference", False),
    ],
)
def test_lists_and_searches_are_sweeps(word: str, sweep: bool):
    assert is_sweep(["trials=3", word]) is sweep
