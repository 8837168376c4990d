"""audit.csv: names with any letters come back as they were, and marks are read from it."""

from pathlib import Path

import pandas

from graft.audit.finding import Finding, write_findings
from graft.excluded import marked

NAMES = ["cat/a, b.png", 'cat/"quoted".png', "猫/кот.png", "cat/line\nbreak.png", " cat/space.png", "cat/x;y.png"]


def test_the_table_is_read_by_pandas_and_by_dataset_exclude(tmp_path: Path):
    rows = [Finding("outlier", name, "cat", "train", score=1 / 3, hash="ab", exclude="x") for name in NAMES]
    write_findings(tmp_path / "audit.csv", rows)
    table = pandas.read_csv(tmp_path / "audit.csv", keep_default_na=False)
    assert table["file"].tolist() == NAMES
    assert table["class"].unique().tolist() == ["cat"]
    assert table["score"].tolist() == [0.3333] * len(NAMES)
    assert marked(tmp_path / "audit.csv") == dict.fromkeys(NAMES, "ab")
