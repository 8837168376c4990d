"""Tests of the digests of a user's own code."""

import importlib
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from graft.own_code import failure, forget_own_code, own_code


@pytest.fixture
def package(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """A user's package: heads imports layers beside it, and a loose module without a package."""
    files = {
        "ours_pkg/__init__.py": "",
        "ours_pkg/heads.py": "from . import layers\nimport ours_loose, torch\n\nclass Wide: pass\n",
        "ours_pkg/layers.py": "from ours_pkg.deep.blocks import Block\n",
        "ours_pkg/deep/__init__.py": "",
        "ours_pkg/deep/blocks.py": "class Block: pass\n",
        "ours_pkg/other.py": "",
        "ours_loose.py": "SIZE = 1\n",
        "ours_bare/inner.py": "",
    }
    for name, text in files.items():
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_text(text)
    monkeypatch.syspath_prepend(tmp_path)
    forget_own_code()
    yield tmp_path
    for name in [name for name in sys.modules if name.startswith("ours_")]:
        del sys.modules[name]
    forget_own_code()


def again(module: str) -> str | None:
    """The digest as another process finds it."""
    forget_own_code()
    return own_code(module)


@pytest.mark.parametrize("name", ["heads", "layers", "deep/blocks", "__init__", "deep/__init__"])
def test_an_edit_anywhere_in_what_a_module_imports_is_another_code(package: Path, name: str):
    first = again("ours_pkg.heads")
    assert first is not None
    assert again("ours_pkg.heads") == first
    with (package / f"ours_pkg/{name}.py").open("a") as file:
        file.write("# edited\n")
    assert again("ours_pkg.heads") != first


def test_what_a_module_does_not_import_does_not_count(package: Path):
    first = again("ours_pkg.heads")
    (package / "ours_pkg/other.py").write_text("x = 1\n")
    assert again("ours_pkg.heads") == first
    (package / "ours_loose.py").write_text("SIZE = 2\n")
    assert again("ours_pkg.heads") != first


def test_an_edit_after_the_import_does_not_count_in_this_process(package: Path):
    first = own_code("ours_loose")
    (package / "ours_loose.py").write_text("SIZE = 2\n")
    assert own_code("ours_loose") == first


@pytest.mark.parametrize("edited", ["SIZE = 2\n", "SIZE = 1\n\ndef double(x):\n    return 2 * x\n"])
def test_a_module_that_is_loaded_again_counts_with_its_edits(package: Path, edited: str):
    """In a notebook a job that had finished with the class as it was would be found again."""
    (package / "ours_again.py").write_text("import ours_loose\n")
    importlib.import_module("ours_again")
    first = own_code("ours_again")
    (package / "ours_loose.py").write_text(edited)
    assert own_code("ours_again") == first
    importlib.reload(sys.modules["ours_loose"])
    assert own_code("ours_again") != first


def test_a_function_that_is_replaced_in_a_loaded_module_is_another_code(package: Path):
    """IPython 9's %autoreload patches modules without loading them again."""
    (package / "ours_loose.py").write_text("class Wide:\n    def forward(self, x):\n        return x\n")
    wide = importlib.import_module("ours_loose").Wide
    first = own_code("ours_loose")
    (package / "ours_loose.py").write_text("class Wide:\n    def forward(self, x):\n        return -x\n")
    wide.forward = lambda self, x: -x
    assert own_code("ours_loose") != first


def test_circles_and_code_that_cannot_be_parsed_end(package: Path):
    (package / "ours_pkg/other.py").write_text("import ours_pkg.heads, ours_broken\n")
    (package / "ours_pkg/layers.py").write_text("from . import other, heads\nfrom ... import nothing\n")
    (package / "ours_broken.py").write_text("def (:\n")
    assert again("ours_pkg.heads") != again("ours_broken")
    assert again("ours_broken") is not None


def test_a_package_without_an_init_file_is_own_code(package: Path):
    first = again("ours_bare.inner")
    assert first is not None
    (package / "ours_bare/inner.py").write_text("x = 1")
    assert again("ours_bare.inner") != first


@pytest.mark.parametrize(
    "name", ["graft.heads.head", "graft", "torch.nn", "json", "sklearn.linear_model", "builtins", "no_such.module", ""]
)
def test_libraries_and_graft_are_not_own_code(name: str):
    assert again(name) is None


def test_a_failure_names_the_last_line_of_own_code(package: Path):
    (package / "ours_loose.py").write_text("import json\n\ndef fail():\n    json.loads('')\n")
    import ours_loose  # type: ignore[import-not-found]

    with pytest.raises(ValueError, match="Expecting value") as caught:
        ours_loose.fail()
    assert failure(caught.value) == (
        f"JSONDecodeError: Expecting value: line 1 column 1 (char 0) in {package}/ours_loose.py, line 4"
    )
