from pathlib import Path

import pandas
import pytest
from conftest import ROOT

import graft
from graft.errors import GraftError

GOLDEN = ROOT / "tests" / "golden"


@pytest.fixture(scope="module")
def answer() -> graft.Answer:
    return graft.read(GOLDEN / "sweep")


def test_the_table_is_the_leaderboard_s(answer: graft.Answer):
    expected = pandas.read_csv(GOLDEN / "leaderboard.csv")
    assert list(answer.table["job"]) == list(expected["job"])
    assert answer.table["accuracy"].to_numpy() == pytest.approx(expected["accuracy"].to_numpy())


def test_jobs_are_ranked_and_have_their_results(answer: graft.Answer):
    best = answer.best
    assert best.name == answer.jobs[0].name == answer.table["job"][0]
    assert best.accuracy == answer.table["accuracy"][0]
    assert best.interval is not None
    assert best.interval[0] < best.accuracy < best.interval[1]
    assert best.config == best.result["config"]
    assert best.parameters["total"] == best.result["parameters"]["total"]
    assert repr(best).startswith(f"JobResult({best.label!r}, accuracy=")
    trials = answer.trials()
    assert list(trials.columns[:2]) == ["job", "seed"]
    assert len(trials) == sum(len(job.trials()) for job in answer.jobs)


def test_it_is_shown_as_the_table_and_the_answer(answer: graft.Answer):
    shown = repr(answer)
    assert all(sentence in shown for sentence in answer.sentences)
    assert answer.sentences[0].split(" is ")[0] in shown
    assert "failed source=big_dataset.small_per_class=999: " in shown
    page = answer._repr_html_()
    assert page.count("<tr>") == len(answer.jobs) + 1
    assert 'alt="leaderboard.png"' in page
    assert "failed" in page


def test_reading_writes_nothing_and_says_what_is_missing(tmp_path: Path):
    with pytest.raises(GraftError, match="there is no folder"):
        graft.read(tmp_path / "no")
    with pytest.raises(GraftError, match=r"there is no result\.json below"):
        graft.read(tmp_path)
    with pytest.raises(GraftError, match="needs a folder"):
        graft.read()
    (tmp_path / "job").mkdir()
    (tmp_path / "job" / "failure.json").write_text('{"error": "no space left"}')
    with pytest.raises(GraftError, match="no job finished: job: no space left"):
        graft.read(tmp_path)


def test_folders_are_no_list(tmp_path: Path):
    with pytest.raises(GraftError, match=r"read\(\) takes folders, got list"):
        graft.read([tmp_path])  # type: ignore[arg-type]


def test_jobs_that_have_not_finished_come_first(tmp_path: Path):
    (tmp_path / "job").mkdir()
    (tmp_path / "job" / "result.json").write_text('{"trials": [{"seed": 0, "accuracy": 0.5}]}')
    (tmp_path / "planned.json").write_text('{"jobs": ["job", "<b>"]}')
    found = graft.read(tmp_path)
    assert (found.unfinished, found.failed) == (["<b>"], {})
    assert found.sentences[0] == "1 of 2 jobs has not finished: <b>."
    assert found.sentences[0] in repr(found)
    assert "1 of 2 jobs has not finished: &lt;b&gt;." in found._repr_html_()


def test_results_without_curves_say_so(answer: graft.Answer):
    with pytest.raises(GraftError, match=r"history\.csv cannot be read .*resume=false"):
        answer.history()
