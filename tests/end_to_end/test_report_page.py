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
from PIL import Image
from stored_jobs import store_job

from graft.page.show import show_jobs, show_sweep

# Texts whose color is too near their background's, as WCAG 2 counts it: below 4.5, or 3 for large letters.
CONTRAST = """
(() => {
  const parse = (text) => { const n = text.match(/[\\d.]+/g).map(Number); return n.length > 3 ? n : [...n, 1]; };
  const over = (top, below) => top.slice(0, 3).map((v, i) => v * top[3] + below[i] * (1 - top[3]));
  const light = (rgb) => { const [r, g, b] = rgb.map((v) => v / 255).map((v) =>
    v <= 0.03928 ? v / 12.92 : ((v + 0.055) / 1.055) ** 2.4); return 0.2126 * r + 0.7152 * g + 0.0722 * b; };
  const behind = (node) => {
    const layers = [];
    for (let each = node; each; each = each.parentElement)
      layers.unshift(parse(getComputedStyle(each).backgroundColor));
    return layers.reduce((below, top) => over(top, below), [255, 255, 255]);
  };
  const bad = [];
  const walker = document.createTreeWalker(document.body, NodeFilter.SHOW_TEXT);
  while (walker.nextNode()) {
    const node = walker.currentNode.parentElement;
    if (!walker.currentNode.data.trim() || ["SCRIPT", "STYLE"].includes(node.tagName)) continue;
    const style = getComputedStyle(node);
    if (style.visibility === "hidden" || !node.getClientRects().length) continue;
    const below = behind(node);
    const ink = over(parse(node.closest("svg") ? style.fill : style.color), below);
    const [a, b] = [light(ink), light(below)];
    const ratio = (Math.max(a, b) + 0.05) / (Math.min(a, b) + 0.05);
    const size = parseFloat(style.fontSize);
    if (ratio < (size >= 24 || (size >= 18.6 && style.fontWeight >= 700) ? 3 : 4.5))
      bad.push(`${walker.currentNode.data.trim().slice(0, 40)} ${ratio.toFixed(2)}`);
  }
  return bad;
})()
"""
# What a keyboard or a screen reader would miss.
UNNAMED = """
[...document.querySelectorAll("button, a, [role=img], [role=region], summary, img")]
  .filter((node) => !(node.textContent.trim() || node.getAttribute("aria-label") || node.getAttribute("alt")))
  .map((node) => node.outerHTML)
"""
SMALL = """
[...document.querySelectorAll("body *")]
  .filter((node) => node.getClientRects().length && node.firstChild?.nodeType === 3 && node.firstChild.data.trim())
  .filter((node) => !node.closest("svg") && parseFloat(getComputedStyle(node).fontSize) < 11.5)
  .map((node) => node.textContent.slice(0, 40))
"""


@pytest.fixture(scope="module")
def tab() -> Iterator[Browser]:
    if CHROMIUM is None:
        pytest.skip("there is no Chromium")
    with browser() as opened:
        yield opened


def opened(tab: Browser, page: Path) -> None:
    """Open a page in each size and color scheme, and check it in each."""
    for width, dark, scripts in ((1400, False, True), (400, False, True), (1400, True, True), (400, True, False)):
        tab.open(page, width, dark, scripts)
        assert tab.messages == []
        assert [each for each in tab.requests if not each.startswith("data:image/")] == [page.resolve().as_uri()]
        if not scripts:
            continue
        tab.run("document.querySelectorAll('details').forEach((part) => { part.open = true; })")
        assert tab.run("document.documentElement.scrollWidth") <= width
        assert tab.run(CONTRAST) == []
        assert tab.run(UNNAMED) == []
        assert tab.run(SMALL) == []
        assert tab.run("document.documentElement.lang") == "en"


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
    opened(tab, tmp_path / "report.html")


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
        opened(tab, tmp_path / folder / "report.html")


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
            opened(own, page)
