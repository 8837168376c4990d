import pytest
from conftest import ROOT

from graft.api.html import page
from graft.report.compare import compare_jobs
from graft.report.table import table_rows
from graft.report.unit import PERCENT, unit_of


def test_texts_are_escaped():
    report = compare_jobs([ROOT / "tests" / "golden" / "sweep"])
    report.board.table.loc[0, "job"] = "dataset.root=<b>&"
    shown = page(report, ["1 < 2 & 3"], {"<i>": "a > b"})
    assert "<td>dataset.root=&lt;b&gt;&amp;</td>" in shown
    assert "<p>1 &lt; 2 &amp; 3</p>" in shown
    assert "&lt;i&gt;: a &gt; b" in shown
    assert shown.count("data:image/png;base64,") >= 2


@pytest.mark.parametrize("metric", ["loss", "macro_f1"])
def test_the_table_has_the_metric_by_which_jobs_are_ranked(metric: str):
    report = compare_jobs([ROOT / "tests" / "golden" / "outcomes"], metric=metric)
    shown, unit = page(report, [], {}), unit_of(metric)
    assert ("Losses as they are" in shown) == (metric == "loss")
    for row in table_rows(report.board.table):
        assert f"<td>{unit.number(row[metric])}</td>" in shown
        assert f"<td>{PERCENT.number(row['accuracy'])}</td>" in shown
        low, high = row["difference_low"], row["difference_high"]
        assert f"<td>{unit.difference(row['difference'], low, high)}</td>" in shown
