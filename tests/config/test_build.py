import json
from collections.abc import Callable

import pytest
from omegaconf import DictConfig, OmegaConf

from graft.config.build import build, to_plain
from graft.errors import GraftError

Configure = Callable[..., DictConfig]


def test_build_refuses_a_key_that_the_target_does_not_take(configure: Configure):
    expected = r"head\.depth must be an argument of graft\.head\.Plain \(num_features, num_classes, dropout\), got 3"
    with pytest.raises(GraftError, match=expected + "; try ~head"):
        build(configure("+head.depth=3"), "head", num_features=3, num_classes=2)


def test_numbers_that_json_cannot_store_are_text_and_the_targets_get_them_as_they_are(configure: Configure):
    cfg = configure("regularize.clip=inf")
    assert build(cfg, "regularize").clip == float("inf")
    plain = to_plain(cfg)
    assert plain["regularize"]["clip"] == "inf"
    assert json.loads(json.dumps(plain, allow_nan=False)) == plain
    assert to_plain(OmegaConf.create({"a": [1, {"b": float("-inf")}, 0.5]})) == {"a": [1, {"b": "-inf"}, 0.5]}
