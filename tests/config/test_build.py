import json
import sys
from collections import OrderedDict
from collections.abc import Callable
from pathlib import Path

import pytest
from omegaconf import DictConfig, OmegaConf

from graft.config.build import build, build_as, to_plain
from graft.errors import ConfigError, GraftError

Configure = Callable[..., DictConfig]


def test_build_refuses_a_key_that_the_target_does_not_take(configure: Configure):
    expected = r"head\.depth must be an argument of graft\.head\.Plain \(num_features, num_classes, dropout\), got 3"
    with pytest.raises(GraftError, match=expected + "; try ~head"):
        build(configure("+head.depth=3"), "head", num_features=3, num_classes=2)


def test_build_refuses_a_target_without_an_argument_that_it_needs(configure: Configure):
    expected = r"head\.num_classes must be given, as graft\.head\.Plain needs it, got .*; try \+head\.num_classes=VALUE"
    with pytest.raises(ConfigError, match=expected):
        build(configure(), "head", num_features=3)


def test_what_graft_gives_itself_cannot_be_set(configure: Configure):
    expected = r"head\.num_classes must be left out, because Graft gives it, got 10; try ~head\.num_classes"
    with pytest.raises(ConfigError, match=expected):
        build(configure("+head.num_classes=10"), "head", num_features=3, num_classes=2)


def test_a_target_must_take_what_graft_gives(configure: Configure):
    expected = (
        r"head\._target_ must be a class or function with the arguments num_features and num_classes, which Graft "
        r"gives \(it has start_dim, end_dim\), got torch\.nn\.Flatten; "
        r"try def __init__\(self, num_features, num_classes\)"
    )
    with pytest.raises(ConfigError, match=expected):
        build(configure("head._target_=torch.nn.Flatten"), "head", num_features=3, num_classes=2)


def test_a_built_in_class_has_no_signature_to_check():
    built = build(OmegaConf.create({"made": {"_target_": "collections.OrderedDict"}}), "made")
    assert built == {}


def test_an_object_of_another_class_is_refused():
    cfg = OmegaConf.create({"made": {"_target_": "collections.Counter"}})
    assert build_as(dict, cfg, "made") == {}
    expected = r"made\._target_ must be a class that inherits from collections\.OrderedDict, got collections\.Counter"
    with pytest.raises(ConfigError, match=expected + r"; try made\._target_=mypkg\.MyOrderedDict"):
        build_as(OrderedDict, cfg, "made")


OWN_HEAD = """
from typing import Optional
from torch import nn
class Head(nn.Linear):
    def __init__(self, num_features, num_classes, flag=False, says: "bool" = True, maybe: Optional[bool] = None,
                 either: "bool | str" = False, number: int = 1, text="yes"):
        super().__init__(num_features, num_classes)
        self.given = [flag, says, maybe, either, number, text]
"""


@pytest.fixture
def own_head(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> str:
    (tmp_path / "ownhead.py").write_text(OWN_HEAD)
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.delitem(sys.modules, "ownhead", raising=False)
    return "head._target_=ownhead.Head"


@pytest.mark.slow
@pytest.mark.parametrize("value", ["ja", "no", "off", "'false'", "0", "1.0", "[]"])
@pytest.mark.parametrize("flag", ["flag", "says", "maybe"])
def test_flags_of_a_user_s_own_class_are_true_or_false(configure: Configure, own_head: str, flag: str, value: str):
    typed = value.strip("'")
    expected = f"head.{flag} must be true or false, as {flag} of ownhead.Head is, got {typed}; try true in its place"
    with pytest.raises(ConfigError) as error:
        build(configure(own_head, "~head.dropout", f"+head.{flag}={value}"), "head", num_features=3, num_classes=2)
    assert str(error.value) == expected


def test_other_values_of_a_user_s_own_class_are_its_own_matter(configure: Configure, own_head: str):
    words = ("flag=true", "says=false", "maybe=null", "either=no", "number=2", "text=no")
    cfg = configure(own_head, "~head.dropout", *(f"+head.{word}" for word in words))
    assert build(cfg, "head", num_features=3, num_classes=2).given == [True, False, None, "no", 2, "no"]


def test_flags_of_inner_options_are_checked_and_all_are_named(configure: Configure, own_head: str):
    inner = f"source.{own_head}"
    cfg = configure(inner, "~source.head.dropout", "+source.head.flag=ja", "+source.head.says=nein")
    with pytest.raises(ConfigError) as error:
        build(cfg, "source")
    assert [(fault.key, fault.got) for fault in error.value.faults] == [
        ("source.head.flag", "ja"), ("source.head.says", "nein"),
    ]  # fmt: skip


def test_numbers_that_json_cannot_store_are_text_and_the_targets_get_them_as_they_are(configure: Configure):
    cfg = configure("regularize.clip=inf")
    assert build(cfg, "regularize").clip == float("inf")
    plain = to_plain(cfg)
    assert plain["regularize"]["clip"] == "inf"
    assert json.loads(json.dumps(plain, allow_nan=False)) == plain
    assert to_plain(OmegaConf.create({"a": [1, {"b": float("-inf")}, 0.5]})) == {"a": [1, {"b": "-inf"}, 0.5]}
