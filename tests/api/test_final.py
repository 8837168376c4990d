from pathlib import Path

import pytest

import graft

QUICK = {"source": "scratch", "trials": 2, "epochs": 1}


@pytest.fixture(autouse=True)
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("GRAFT_CACHE", raising=False)
    return tmp_path


@pytest.mark.slow
def test_the_best_job_of_an_answer_is_refitted_once(here: Path):
    answer = graft.run({**QUICK, "dropout": [0, 0.9]}, name="sweep")
    model = graft.refit(answer, trials=1)
    assert model.trained.folder.resolve() == here / "outputs" / "sweep-refit"
    assert model.classes == ["1", "3", "5", "7", "9"]
    written = (model.trained.folder / "result.json").stat().st_mtime_ns
    for again in (graft.refit("outputs/sweep", trials=1), graft.refit(Path("outputs/sweep"), trials=1)):
        assert (again.trained.folder / "result.json").stat().st_mtime_ns == written
    one = graft.refit(answer.best, trials=1, name="one")
    assert one.trained.folder.name == "one"
    assert len(graft.read("outputs").jobs) == 2
    with pytest.raises(graft.GraftError, match=r"^there is nothing to compare: a refit of .*; graft\.refit returns"):
        graft.read("outputs/one")


def test_what_is_no_job_is_refused():
    with pytest.raises(graft.GraftError, match=r"refit takes an answer, one of its jobs, or the folder .* got list"):
        graft.refit(["outputs/a"])  # type: ignore[arg-type]
    with pytest.raises(graft.GraftError, match="run is typed twice"):
        graft.refit("outputs/a", overrides={"run": "outputs/b"})


@pytest.mark.slow
def test_what_a_refit_does_not_take_is_refused(here: Path):
    graft.run(QUICK, name="a")
    graft.run({**QUICK, "dropout": 0}, name="b")
    with pytest.raises(graft.GraftError, match=r"^the answer is of several folders; try graft\.refit"):
        graft.refit(graft.read("outputs/a", "outputs/b"))
    with pytest.raises(graft.GraftError, match="lr cannot be typed"):
        graft.refit("outputs/a", overrides={"lr": 1})
    with pytest.raises(graft.GraftError, match="is not there"):
        graft.refit("outputs/c")
    assert sorted(path.name for path in (here / "outputs").iterdir()) == ["a", "b", "cache"]
