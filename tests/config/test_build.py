from collections.abc import Callable

import pytest
from omegaconf import DictConfig

from graft.config.build import build
from graft.errors import GraftError

Configure = Callable[..., DictConfig]


def test_build_refuses_a_key_that_the_target_does_not_take(configure: Configure):
    with pytest.raises(
        GraftError, match=r"Plain takes no depth; it takes num_features, num_classes, dropout; leave.*~head"
    ):
        build(configure("+head.depth=3"), "head", num_features=3, num_classes=2)
