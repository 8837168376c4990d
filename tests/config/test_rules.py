from collections.abc import Iterator
from math import inf, nan
from typing import Any

import pytest
import yaml
from conftest import ROOT
from omegaconf import OmegaConf

from graft.config.constraints import list_of, number, one_of, text, whole
from graft.config.rules import RULES

OPTIONS = [path for path in (ROOT / "conf").glob("*/*.yaml") if path.parent.name not in ("experiment", "hydra")]


def numeric_keys(node: Any, key: str = "") -> Iterator[str]:
    """Yield the keys of numbers and of lists of numbers; a copy of another key (`${lr}`) is none."""
    if isinstance(node, dict):
        for name, value in node.items():
            yield from numeric_keys(value, f"{key}.{name}" if key else name)
    elif isinstance(node, list) and node:
        yield from {name for item in node for name in numeric_keys(item, key)}
    elif isinstance(node, int | float) and not isinstance(node, bool):
        yield key


@pytest.mark.parametrize("path", OPTIONS, ids=lambda path: f"{path.parent.name}={path.stem}")
def test_every_numeric_key_of_every_option_has_a_rule(path):
    option = OmegaConf.to_container(OmegaConf.load(path))
    keys = set(numeric_keys(option, "" if "# @package _global_" in path.read_text() else path.parent.name))
    assert {key for key in keys if not key.startswith("sweep.space.")} <= RULES.keys()  # a search checks its space


def test_every_numeric_knob_has_a_rule():
    knobs = OmegaConf.to_container(OmegaConf.load(ROOT / "conf" / "train.yaml"))
    assert isinstance(knobs, dict)
    keys = set(numeric_keys({key: value for key, value in knobs.items() if key not in ("hydra", "defaults")}))
    assert {"seed", "lr"} <= keys <= RULES.keys()


@pytest.mark.parametrize("key", RULES)
def test_every_rule_allows_its_example_and_takes_no_boolean_for_a_number(key: str):
    rule = RULES[key]
    assert rule.allows(yaml.safe_load(rule.example))
    if "true" not in rule.expected:
        assert not rule.allows(True)
        assert not rule.allows(False)
    assert not rule.allows(nan)
    assert not rule.allows(-1) or key in (
        "trainer.num_sanity_val_steps", "trainer.max_steps", "dataset.big_domain", "dataset.small_domain",
    )  # fmt: skip
    assert not rule.allows({}) or key in ("callbacks", "logger")


@pytest.mark.parametrize(
    ("rule", "expected", "allowed", "refused"),
    [
        (whole(1, 5), "a whole number of at least 1", [1, 10**9], [0, 1.0, "1", None]),
        (number(0, 1, 0.5), "from 0 to 1", [0, 0.5, 1], [-1e-9, 1 + 1e-9, "0.5", None, [0.5]]),
        (number(0, 1, 0.5, closed="left"), "in [0, 1)", [0, 0.5], [1]),
        (number(0, 1, 0.5, closed="right"), "in (0, 1]", [0.5, 1], [0]),
        (number(0, 1, 0.5, closed="neither"), "in (0, 1)", [0.5], [0, 1]),
        (number(0, inf, 1, closed="right"), "a number above 0", [1e-9, inf], [0]),
        (number(0, inf, 1, closed="neither"), "a finite number above 0", [1e-9], [0, inf]),
        (number(0, inf, 1, closed="left"), "a finite number of at least 0", [0], [inf]),
        (text("a name", "x"), "a name", ["x", "a b"], ["", 1, None]),
        (text("two letters", "ab", "[a-z]{2}"), "two letters", ["ab"], ["abc", "a"]),
        (list_of("numbers", "[1]", whole(1, 1)), "numbers", [[1], [1, 1]], [[], [0], 1, (1,)]),
        (
            list_of("two", "[1,2]", least=2, most=2, distinct=True),
            "two",
            [[1, 2], [1, "b"]],
            [[1], [1, "1"], [1, 2, 3]],
        ),
        (one_of("a", "b", "c"), "a, b or c", ["a", "c"], ["d", None]),
        (one_of(None, True), "null or true", [None, True], [1, "null", False]),
        (one_of("auto", whole(1, 5)), "auto or a whole number of at least 1", ["auto", 2], [0, None]),
        (one_of(None, "a", whole(1, 5)), "null, a, or a whole number of at least 1", [None, "a", 1], [0]),
        (one_of(None, whole(1, 5), expected="this"), "this", [None, 1], [0]),
    ],
)
def test_rules_say_what_they_allow(rule, expected: str, allowed: list, refused: list):
    assert rule.expected == expected
    assert all(map(rule.allows, allowed))
    assert not any(map(rule.allows, refused))


def test_the_example_is_the_first_rule_s_or_the_first_value_that_is_not_null():
    assert one_of("auto", whole(1, 5), whole(2, 7)).example == "5"
    assert one_of(None, True, False).example == "true"
    assert one_of(None, expected="absent").example == "null"


@pytest.mark.parametrize("name", ["first", "a/b", "dropout=0,0.5_[1]", "два слова", "a..b", "..a", "x" * 300])
def test_a_name_is_a_folder_inside_outputs(name: str):
    assert RULES["name"].allows(name)


@pytest.mark.parametrize(
    "name",
    ["", " ", ".", "..", "../evil", "../../evil", "a/../../b", "a/..", "/abs", "//x", "a//b", "a/", "./a", "~/x", "~",
     "a\nb", "a\tb", "a\x00b", "a/ /b", "a\u2028b", None, 3],
)  # fmt: skip
def test_a_name_that_leads_out_of_outputs_is_refused(name: object):
    assert not RULES["name"].allows(name)


def test_a_cache_has_a_name_and_no_tilde():
    assert all(map(RULES["cache"].allows, ("outputs/cache", "/tmp/x", "../c", "my cache", ".")))
    assert not any(map(RULES["cache"].allows, ("", " ", "~/cache", "~", None)))


def test_numbers_have_one_form_only_where_both_forms_mean_the_same():
    assert [RULES[key].numbers for key in ("lr", "epochs", "regularize.clip", "augment.rotate", "optimizer.betas")] == [
        float, int, float, int, float,
    ]  # fmt: skip
    assert one_of(whole(1, 5), number(0, 1, 0.5), "all").numbers is None  # 1 image, 1.0 of all
    assert text("a name", "x").numbers is None
