"""The recipes of docs/architecture.md, carried out as written in a copy of the tree, through the command line."""

import json
import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
import torch
from conftest import ROOT

PAGE = (ROOT / "docs" / "architecture.md").read_text()
RECIPES = {part.partition("\n")[0]: part for part in PAGE.partition("\n## Recipes\n")[2].split("\n### ")[1:]}
BLOCK = re.compile(
    r"^(?:(?P<place>At the end of|New file)|Below `(?P<line>.+)` in) `(?P<path>[\w/.]+)`:\n\n"
    r"```(?:python|yaml)\n(?P<code>.*?)```",
    re.MULTILINE | re.DOTALL,
)
COMMAND = re.compile(r"```sh\npython (.+)\n```")


def test_there_are_three_recipes():
    assert list(RECIPES) == ["Add a backbone", "Add a head", "Add a data set"]


@pytest.fixture
def tree(tmp_path: Path) -> Path:
    """Return a copy of src and conf."""
    for folder in ("src", "conf"):
        shutil.copytree(ROOT / folder, tmp_path / folder, ignore=shutil.ignore_patterns("__pycache__", "*.egg-info"))
    return tmp_path


def write(tree: Path, block: re.Match[str]) -> None:
    """Write a block of code where the line above it says."""
    file, code = tree / block["path"], block["code"]
    if block["place"] == "New file":
        assert not file.exists()
        file.write_text(code)
        return
    text = file.read_text()
    if block["line"]:
        assert text.count(f"\n{block['line']}\n") == 1
        text = text.replace(f"{block['line']}\n", f"{block['line']}\n{code}")
    else:
        text = f"{text}\n\n{code}"
    file.write_text(text)


@pytest.mark.slow
@pytest.mark.parametrize("recipe", RECIPES)
def test_a_recipe_works_as_written(tree: Path, recipe: str):
    blocks, (command,) = list(BLOCK.finditer(RECIPES[recipe])), COMMAND.findall(RECIPES[recipe])
    assert len(blocks) == RECIPES[recipe].count("```python") + RECIPES[recipe].count("```yaml")
    for block in blocks:
        write(tree, block)
    (tree / "DIR").mkdir()
    pixels, labels = torch.randint(0, 256, (20, 1, 16, 16), dtype=torch.uint8), torch.arange(20) % 2
    torch.save({"pixels": pixels, "labels": labels, "classes": ["cat", "dog"]}, tree / "DIR" / "images.pt")
    done = subprocess.run(
        [sys.executable, *command.split(), "name=tried"],
        cwd=tree,
        env={**os.environ, "PYTHONPATH": str(tree / "src")},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    result = json.loads((tree / "outputs" / "tried" / "result.json").read_text())
    assert [trial["epoch"] for trial in result["trials"]] == [1, 1]
    (option,) = [block for block in blocks if block["path"].startswith("conf/")]
    group = Path(option["path"]).parent.name
    assert f"_target_: {result['config'][group]['_target_']}\n" in option["code"]
