"""The examples in docstrings, run as they are written."""

import doctest
import importlib
from pathlib import Path

import pytest
from conftest import ROOT

FILES = [path for path in sorted((ROOT / "src").rglob("*.py")) if ">>>" in path.read_text()]
MODULES = [".".join(path.relative_to(ROOT / "src").with_suffix("").parts) for path in FILES]


@pytest.mark.parametrize("name", MODULES)
def test_examples_run(name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.chdir(tmp_path)
    failed, attempted = doctest.testmod(importlib.import_module(name))
    assert attempted
    assert not failed
