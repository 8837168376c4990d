"""The page of a real sweep of photos, and of made-up ones, opened in a headless Chromium."""

import json
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
from chromium import CHROMIUM, Browser, browser
from conftest import ROOT
from page_checks import CONTRAST, SMALL, UNNAMED, check_page
from PIL import Image
from stored_jobs import store_job

from graft.page.show import show_jobs, show_sweep


@pytest.fixture(scope="module")
def tab() -> Iterator[Browser]:
    if CHROMIUM is None:
        pytest.skip("there is no Chromium")
    with browser() as opened:
        yield opened


def test_the_checks_find_what_they_look_for(tab: Browser, tmp_path: Path):
    bad = """<!DOCTYPE html><html lang="en"><body><p style="color: #999">faint</p><button></button>
    <p style="font-size: 9px">tiny</p><img src="no.png"><script>undefined.x</script></body></html>"""
    (tmp_path / "bad.html").write_text(bad)
    tab.open(tmp_path / "bad.html")
    assert tab.run(CONTRAST) == ["faint 2.85"]
    assert len(tab.run(UNNAMED)) == 2
    assert tab.run(SMALL) == ["tiny"]
    assert any("no.png" in each for each in tab.requests)
    assert any("TypeError" in each for each in tab.messages)


def test_a_sweep_s_page_opens_without_a_request_or_an_error(tab: Browser, tmp_path: Path):
    for dropout, skill in (("0", 2.0), ("0.5", 1.8), ("0.9", 0.5)):
        store_job(tmp_path, {"dropout": dropout}, skill=skill, classes=["<b>cat", "dog" * 30, "\u202ehorse"])
    show_sweep(tmp_path)
    check_page(tab, tmp_path / "report.html")


@pytest.mark.slow
def test_the_pages_of_a_budget_sweep_of_published_rows_and_of_old_results_open(tab: Browser, tmp_path: Path):
    for budget, skill in ((1, 0.5), (5, 1.5), (20, 3.0)):
        for source in ("big", "scratch"):
            name = {"source": source, "dataset.small_per_class": str(budget)}
            store_job(tmp_path / "budget", name, skill=skill, choices={"source": source})
    for name, low in (("lecture_one", 0.5), ("lecture_two", 0.6)):
        published = {"low": low, "high": 0.9, "source": "a lecture"}
        store_job(tmp_path / "lecture", {"experiment": name}, reference=published)
    show_sweep(tmp_path / "budget")
    show_sweep(tmp_path / "lecture")
    show_jobs([ROOT / "tests" / "golden" / "sweep"], tmp_path / "golden")
    for folder in ("budget", "lecture", "golden"):
        check_page(tab, tmp_path / folder / "report.html")


def test_tables_are_sorted_and_the_matrix_is_read_with_the_keyboard(tab: Browser, tmp_path: Path):
    for dropout, skill in (("0", 2.0), ("0.5", 1.8), ("0.9", 0.5)):
        store_job(tmp_path, {"dropout": dropout}, skill=skill)
    show_sweep(tmp_path)
    tab.open(tmp_path / "report.html")
    ranks = "[...document.querySelectorAll('#ranking tbody tr')].map((row) => row.children[0].textContent)"
    assert tab.run(ranks) == ["1", "2", "3"]
    tab.run("document.querySelector('#ranking th:nth-child(3) button').focus()")
    assert tab.run("getComputedStyle(document.activeElement).outlineStyle") != "none"
    tab.press("Enter")
    assert tab.run(ranks) == ["3", "2", "1"]
    assert tab.run("document.querySelector('#ranking th:nth-child(3)').getAttribute('aria-sort')") == "ascending"
    tab.press("Enter")
    assert tab.run(ranks) == ["1", "2", "3"]
    tab.run("document.querySelector('table.matrix td').focus()")
    tab.press("ArrowRight")
    tab.press("ArrowDown")
    title = tab.run("document.querySelectorAll('table.matrix tbody tr')[1].children[2].title")
    assert tab.run("document.getElementById('cell-says').textContent") == title
    tab.open(tmp_path / "report.html")
    for _ in range(2):
        tab.press("Tab")
    assert tab.run("document.activeElement.getAttribute('href')") in ("#answer", "#ranking")
    tab.printed(tmp_path / "page.pdf")
    assert (tmp_path / "page.pdf").read_bytes().startswith(b"%PDF")


@pytest.mark.slow
def test_the_page_of_a_folder_of_photos_shows_its_mistakes(tmp_path: Path):
    random = np.random.default_rng(0)
    for place, name in enumerate(("dark", "<light>")):
        (tmp_path / "photos" / name).mkdir(parents=True)
        for number in range(30):
            pixels = random.integers(40 * place, 216 + 40 * place, (60, 72, 3))
            Image.fromarray(pixels.astype(np.uint8)).save(tmp_path / "photos" / name / f"{number}.jpg")
    words = ["dataset=image_folder", "dataset.root=photos", "dataset.size=16", "source=scratch", "epochs=2", "trials=3"]
    words += ["dataset.small_per_class=5", "dataset.test_per_class=20"]
    for more in (["name=alone"], ["-m", "head=plain,dense", "name=sweep"]):
        command = [sys.executable, str(ROOT / "src/train.py"), *words, *more]
        done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, timeout=300, check=False)
        assert done.returncode == 0, done.stdout + done.stderr
        page = tmp_path / "outputs" / more[-1].removeprefix("name=") / "report.html"
        assert done.stdout.splitlines()[-1].startswith("page: ")
        assert done.stdout.endswith(f"{page.relative_to(tmp_path)}\n")
        text = page.read_text()
        assert text.count("data:image/jpeg;base64,") > 3
        assert "&lt;light&gt;/" in text
        assert f"python src/train.py {' '.join([*more[:-1][:1], *words, *more[len(more) > 1 :]])}" in text
        hardware = json.loads(next(page.parent.rglob("result.json")).read_text())["hardware"]
        assert hardware["processor"] in text
    changed = next((tmp_path / "photos" / "dark").glob("*.jpg")).parent
    for path in changed.glob("*.jpg"):
        path.write_bytes(b"changed")
    report = [sys.executable, str(ROOT / "src/report.py"), "outputs/sweep"]
    subprocess.run(report, cwd=tmp_path, check=True, capture_output=True)
    assert "not shown: the image has changed since" in page.read_text()
    subprocess.run([*report, "--no-thumbnails"], cwd=tmp_path, check=True, capture_output=True)
    assert "data:image/jpeg" not in page.read_text()
    if CHROMIUM is not None:
        subprocess.run(report, cwd=tmp_path, check=True, capture_output=True)
        with browser() as own:
            check_page(own, page)
