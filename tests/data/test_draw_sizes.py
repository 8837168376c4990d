import re
from typing import Any

import numpy as np
import pytest
from grouped_images import Given, groups_of, patients

from graft.errors import ConfigError


@pytest.mark.parametrize("folds", [None, 3])
def test_all_that_is_left_beside_the_validation_groups(folds: int | None):
    found = patients(12, size=8)  # four images of each patient and class
    data = Given(*found, val_per_class=6, small_per_class="all", folds=folds)
    tested = 3 if folds is None else 4
    assert data.counts == [4 * (12 - tested - 2)] * 2  # two patients have six images of each class
    half = Given(*found, val_per_class=6, small_per_class=0.5, folds=folds)
    assert half.counts == [count // 2 for count in data.counts]
    for seed in range(40):
        train, val = data.sample(seed)
        assert [len(train), len(val)] == [sum(data.counts), 12]
        assert not groups_of(data, train) & groups_of(data, val)
    assert Given(*found, val_per_class=6, small_per_class="all", short="use").counts == [28, 28]


def test_all_that_is_left_of_groups_of_different_sizes():
    sizes = 2 * np.random.default_rng(1).integers(1, 12, 30)
    groups = np.repeat([f"p{number}" for number in range(30)], sizes).tolist()
    labels = [place % 2 for place in range(len(groups))]
    data = Given(labels, groups, val_per_class=10, small_per_class="all")
    lengths = {tuple(map(len, data.sample(seed))) for seed in range(200)}
    assert lengths == {(sum(data.counts), 20)}


def typed(example: str) -> dict[str, Any]:
    """Return the settings that a message tells to try."""
    pairs = re.findall(r"dataset\.(\w+)=(\w+)", example.split("try ")[-1])
    return {key: None if value == "null" else int(value) for key, value in pairs}


@pytest.mark.parametrize(
    "options",
    [
        {"val_per_class": 6, "small_per_class": 30},
        {"val_per_class": 6, "small_total": 60},
        {"val_per_class": 18, "small_per_class": 17},
        {"val_per_class": 30, "small_per_class": 6},
        {"val_per_class": 35, "small_per_class": 1},
        {"val_per_class": 36, "small_per_class": 1},
        {"val_per_class": 36, "small_per_class": "all"},
        {"val_per_class": 10, "small_per_class": 22, "folds": 3},
        {"val_per_class": 18, "small_per_class": 30, "short": "use"},
        {"val_per_class": 35, "small_per_class": 6, "short": "use"},
        {"val_per_class": 35, "small_total": 12, "short": "use"},
        {"val_per_class": 60, "small_per_class": 17, "short": "use"},
    ],
)
def test_what_a_message_tells_to_try_works(options: dict[str, Any]):
    found = patients(12, size=8)
    with pytest.raises(ConfigError) as refused:
        Given(*found, **options).sample(0)
    key, got = re.findall(r"^dataset\.(\w+) must be .*, got (\w+);", str(refused.value))[0]
    assert str(options[key]) == got
    data = Given(*found, **(options | typed(str(refused.value))))
    assert {len(data.sample(seed)[0]) for seed in range(30)} == {sum(data.counts)}


def test_a_draw_of_a_later_trial_is_refused_and_never_shorter(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr("graft.data.folds.MOST_REPEATS", 1)
    random = np.random.default_rng(0)
    sizes = random.integers(1, 9, 15)
    groups = np.repeat([f"p{number}" for number in range(15)], sizes).tolist()
    labels = random.integers(0, 2, len(groups)).tolist()
    data, refused = Given(labels, groups, folds=5, small_per_class="all"), []
    for seed in range(200):
        try:
            assert len(data.sample(seed)[0]) == sum(data.counts)
        except ConfigError as error:
            refused.append((seed, str(error)))
    assert refused
    for seed, message in refused:
        assert f"small_per_class must be fewer, because the trial of seed {seed} finds no groups" in message
        assert "got all" in message
        mended = Given(labels, groups, folds=5, **typed(message))
        assert len(mended.sample(seed)[0]) == sum(mended.counts)


def test_the_class_with_the_fewest_images_is_named():
    labels = [label for label, count in enumerate((8, 6, 5, 9)) for _ in range(count)]
    groups = [f"patient{number}" for number in range(len(labels))]
    counts = Given(labels, groups, small_per_class="all").counts
    least = min(counts)
    assert counts[0] > least  # the first class has more
    name = "abcd"[counts.index(least)]
    with pytest.raises(
        ConfigError, match=rf"at most {least}, the images to draw from class {name}, got 20; .*={least}"
    ):
        Given(labels, groups, small_per_class=20)


def test_each_shortage_of_a_class_is_said(caplog: pytest.LogCaptureFixture):
    labels, groups = patients(8, size=8)
    labels, groups = [*labels, *[2] * 6], [*groups, *(f"patient{number}" for number in range(6))]
    data = Given(labels, groups, val_per_class=5, small_per_class=3, short="use", draw="first")
    train, val = (data.images.labels[part].bincount(minlength=3).tolist() for part in data.sample(0))
    assert train[:2] == [3, 3]
    assert val[:2] == [5, 5]
    assert f"c has {train[2]} of 3 training images and {val[2]} of 5 validation images" in caplog.text
    caplog.clear()
    data = Given(labels, groups, val_per_class=4, small_per_class=1, short="use")
    assert f"dataset.short=use: c has {len(data.sample(0)[1]) - 8} of 4 validation images" in caplog.messages
