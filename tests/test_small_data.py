"""tests/benchmarks/small_data.py on made-up results, and that docs/small_data.md has the tables of its CSV files."""

from pathlib import Path

import pytest
from benchmarks import small_data
from conftest import ROOT

CELL = {"source": "lite0", "head": "solved", "per_class": "30", "accuracy": "81.25", "low95": "79.9", "high95": "82.4"}
PAIR = {"first": "lite0 solved", "second": "scratch plain", "per_class": "30"}
DOCS = ROOT / "docs"


def test_a_cell_has_its_mean_and_interval_and_others_were_not_run():
    lines = small_data.table([CELL]).splitlines()
    assert lines[0] == "| weights | head | 10 a class | 30 a class | 100 a class | 300 a class |"
    assert "| EfficientNet-Lite0 | solved | not run | 81.2 (79.9 to 82.4) | not run | not run |" in lines
    assert len(lines) == 2 + sum(map(len, small_data.SOURCES.values()))
    assert sum("81.2" in line for line in lines) == 1


def test_a_data_set_without_other_classes_has_no_rows_of_them():
    assert "other classes" not in small_data.table([CELL], small_data.DATA_SETS["cifar10_all"].sources)


@pytest.mark.parametrize(
    ("p", "high", "text"),
    [
        ("0.0499", "-0.004", "**-5.0 (-9.0 to 0.0)**"),
        ("0.0501", "0.004", "-5.0 (-9.0 to 0.0)"),
        ("1e-09", "-1", "**-5.0 (-9.0 to -1.0)**"),
    ],
)
def test_differences_are_bold_that_are_significant(p: str, high: str, text: str):
    pair = PAIR | {"difference": "-5", "low95": "-9.0", "high95": high, "p": p}
    lines = small_data.differences_table([pair]).splitlines()
    assert lines[2] == f"| EfficientNet-Lite0, solved less from scratch, plain | not run | {text} | not run | not run |"
    assert len(lines) == 3  # pairs of which nothing was run have no row


def test_a_comparison_names_heads_that_its_sources_have():
    assert all(head in small_data.SOURCES[source] for pair in small_data.COMPARED for source, head in pair)
    assert len(set(small_data.COMPARED)) == len(small_data.COMPARED)


def test_a_cell_s_keys_are_those_of_its_data_set_source_and_head(tmp_path: Path):
    words = small_data.overrides("mnist", "lite0", "thaw", 100, tmp_path, tmp_path)
    assert words["dataset.root"] == tmp_path
    assert words["dataset.small"] == ("1", "3", "5", "7", "9")
    assert (words["dataset.small_per_class"], words["epochs"], words["tune.epochs"]) == (100, 20, 10)
    assert (words["backbone"], words["source"], words["head"]) == ("efficientnet_lite0", "imagenet", "plain")
    assert "epochs" not in small_data.overrides("mnist", "big", "solved", 100, tmp_path, tmp_path)  # it takes none


def test_tables_replace_what_is_between_their_marks():
    page = "a\n<!-- mnist -->\nold\n<!-- end -->\nb\n<!-- cells -->\n<!-- end -->\n"
    new = small_data.renewed(page, {"mnist": "| new |"})
    assert new == "a\n<!-- mnist -->\n| new |\n<!-- end -->\nb\n<!-- cells -->\n<!-- end -->\n"
    with pytest.raises(ValueError, match="the page has no mark <!-- other -->"):
        small_data.renewed(page, {"other": "| new |"})


def test_the_page_has_the_tables_of_its_files():
    text = (DOCS / "small_data.md").read_text()
    made = small_data.tables(DOCS / "small_data")
    assert made
    assert [name for name, table in made.items() if table not in text] == []
    assert sum(path.stat().st_size for path in (DOCS / "small_data").iterdir()) < 2_000_000
