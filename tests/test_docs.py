"""Links, paths and options named in README.md, docs/ and CONTRIBUTING.md exist; equal keys have equal comments."""

import re
from pathlib import Path

import pytest
from conftest import ROOT

from graft.figures.draw import PICTURES

PAGES = [ROOT / "README.md", *sorted((ROOT / "docs").glob("*.md")), ROOT / ".github" / "CONTRIBUTING.md"]
GROUPS = "|".join(sorted(path.name for path in (ROOT / "conf").iterdir() if path.is_dir()))


def new_files() -> set[str]:
    """Return the files that the recipes of docs/architecture.md make."""
    return set(re.findall(r"^New file `(.+)`:$", (ROOT / "docs" / "architecture.md").read_text(), re.MULTILINE))


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_links_and_paths_lead_somewhere(page: Path):
    text = page.read_text()
    links = [link for link in re.findall(r"\]\(([^)#]+)", text) if "://" not in link]
    assert [link for link in links if not (page.parent / link).exists()] == []
    paths = re.findall(r"(?<![\w/.])(?:src|conf|tests|docs|\.github|\.ci)/[\w./*-]*[\w*/](?!\w|/?<)", text)
    assert [path for path in paths if path not in new_files() and not list(ROOT.glob(path))] == []


def test_pictures_have_the_names_that_graft_gives_them():
    text = "".join((ROOT / page).read_text() for page in ("README.md", "docs/sweeps.md", "docs/results.md"))
    named = re.findall(r"(?<=[(/`])\w+\.png", text)
    assert len(named) > 3
    assert set(named) <= set(PICTURES)


def test_every_page_is_in_readme_s_list():
    text = (ROOT / "README.md").read_text()
    pages = [path for path in (ROOT / "docs").iterdir() if path.suffix in (".md", ".ipynb")]
    assert [path.name for path in pages if f"(docs/{path.name})" not in text] == []


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_options_exist(page: Path):
    chosen = re.findall(rf"(?<![\w.@/])({GROUPS})=([a-z]\w*(?:[,|][a-z]\w*)*)(?!\w|\.\w)", page.read_text())
    options = {f"conf/{group}/{option}.yaml" for group, names in chosen for option in re.split("[,|]", names)}
    options -= {"conf/experiment/glob.yaml", "conf/backbone/glob.yaml"}  # experiment=glob(...)
    assert [option for option in sorted(options - new_files()) if not (ROOT / option).exists()] == []


@pytest.mark.parametrize("group", ["dataset", "augment"])
def test_a_key_has_the_same_comment_in_each_option(group: str):
    comments: dict[str, set[str]] = {}
    for path in (ROOT / "conf" / group).glob("*.yaml"):
        for key, comment in re.findall(r"^(\w+):.*? # (.*)$", path.read_text(), re.MULTILINE):
            comments.setdefault(key, set()).add(comment)
    comments.pop("root", None)  # each data set has its own files
    assert len(comments) > 9
    assert {key: found for key, found in comments.items() if len(found) > 1} == {}
