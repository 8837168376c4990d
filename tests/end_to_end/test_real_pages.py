"""The pages of README's sweep, of a budget sweep and of the lecture's rows, from real jobs, in Chromium."""

import json
import re
import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest
from chromium import CHROMIUM, browser
from conftest import ROOT, SHARED
from page_checks import check_page

pytestmark = [pytest.mark.slow, pytest.mark.skipif(CHROMIUM is None, reason="there is no Chromium")]
Train = Callable[..., subprocess.CompletedProcess[str]]
README = (ROOT / "README.md").read_text()


def words_of(pattern: str) -> list[str]:
    """Return the words of a command that README has, after `python src/train.py`, or of a part of one."""
    found = re.search(pattern, README)
    assert found is not None, f"README.md has no {pattern} any more"
    return found[1].split()


def page_of(train: Train, tmp_path: Path, *words: str) -> Path:
    """Run a sweep, and return its page, which passed all checks and says what the terminal said."""
    ran = train("-m", *words)
    assert ran.returncode == 0, ran.stdout + ran.stderr
    path = tmp_path / ran.stdout.splitlines()[-1].removeprefix("page: ")
    assert path.stat().st_size < 3e6
    with browser() as tab:
        check_page(tab, path)
        shown = " ".join(tab.run("document.body.textContent").split())
        told = ran.stdout.partition("└")[2].splitlines()[1:-2]
        assert len(told) >= 3 or "compared with published ranges: not ranked" in ran.stdout
        assert [line for line in told if " ".join(line.split()) not in shown] == []
    return path


def test_the_page_of_readme_s_sweep(train: Train, tmp_path: Path):
    page = page_of(train, tmp_path, *words_of(r"python src/train\.py -m (backbone\.keep=1,2 .*)"))
    results = sorted(page.parent.rglob("result.json"))
    assert len(results) == 6
    text = page.read_text()
    assert all(f"{100 * json.loads(path.read_text())['accuracy']['mean']:.1f}" in text for path in results)
    assert text.count("data:image/") > 20
    assert (page.parent / "effects.png").exists()


def test_the_page_of_a_budget_sweep(train: Train, tmp_path: Path):
    words = words_of(r"`-m (dataset\.small_per_class=1,5,20,100 source=scratch,big)`")
    page = page_of(train, tmp_path, *words, "trials=4", "epochs=10")
    assert len(sorted(page.parent.rglob("result.json"))) == 12  # source=big has a row of what is solved at once, too
    assert "More images" in page.read_text()
    assert (page.parent / "budget.png").exists()


@pytest.mark.skipif(not (SHARED / "data" / "MNIST").exists(), reason="needs the whole of MNIST in ../shared")
def test_the_page_of_the_lecture_s_rows(train: Train, tmp_path: Path):
    rows = "experiment=lecture_mnist_scratch,lecture_mnist_transfer"
    words = ("trials=3", "epochs=3", "test_curve=false")
    page = page_of(train, tmp_path, rows, f"dataset.root={SHARED}/data", *words)
    text = page.read_text()
    assert text.count("tl_mnist.py") >= 2  # the sources of the published ranges
    assert "91.0 to 92.6" in text
