from conftest import ROOT

from graft.api.html import page
from graft.report.compare import compare_jobs


def test_texts_are_escaped():
    report = compare_jobs([ROOT / "tests" / "golden" / "sweep"])
    report.board.table.loc[0, "job"] = "dataset.root=<b>&"
    shown = page(report, ["1 < 2 & 3"], {"<i>": "a > b"})
    assert "<td>dataset.root=&lt;b&gt;&amp;</td>" in shown
    assert "<p>1 &lt; 2 &amp; 3</p>" in shown
    assert "&lt;i&gt;: a &gt; b" in shown
    assert shown.count("data:image/png;base64,") >= 2
