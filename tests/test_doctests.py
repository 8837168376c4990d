"""The examples in docstrings, run as they are written."""

import doctest
import importlib

import pytest

MODULES = (
    "graft.statistics.comparison",
    "graft.run.plan",
    "graft.training.features",
    "graft.training.transfer",
    "graft.stack.trial_stack",
)


@pytest.mark.parametrize("name", MODULES)
def test_examples_run(name: str):
    failed, attempted = doctest.testmod(importlib.import_module(name))
    assert attempted
    assert not failed
