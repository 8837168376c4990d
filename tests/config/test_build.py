from collections.abc import Callable

import pytest
from omegaconf import DictConfig

from graft.config.build import build
from graft.errors import GraftError

Configure = Callable[..., DictConfig]


def test_build_refuses_a_key_that_the_target_does_not_take(configure: Configure):
    expected = r"head\.depth must be an argument of graft\.head\.Plain \(num_features, num_classes, dropout\), got 3"
    with pytest.raises(GraftError, match=expected + "; try ~head"):
        build(configure("+head.depth=3"), "head", num_features=3, num_classes=2)
