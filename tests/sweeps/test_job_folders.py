import json
from pathlib import Path

from omegaconf import DictConfig, OmegaConf

from graft.results.unranked import unfinished_jobs
from graft.sweeps.job_folders import renew_report, write_planned


def config(folder: Path, sweep: str | None = None, subdir: str = "") -> DictConfig:
    return OmegaConf.create({"sweep": sweep, "hydra": {"sweep": {"dir": str(folder), "subdir": subdir}}})


def test_a_grid_s_jobs_are_listed_once_each_and_those_of_the_last_command_count(tmp_path: Path):
    folder = tmp_path / "new"
    names = ["größe=猫,n=[a,b]", "b", "b"]
    write_planned(config(folder), [config(folder, subdir=name) for name in names])
    assert json.loads((folder / "planned.json").read_text()) == {"jobs": names[:2]}
    assert list(unfinished_jobs([folder], folder)) == names[:2]  # they are read as they were written
    write_planned(config(folder), [config(folder, subdir="c")])
    assert list(unfinished_jobs([folder], tmp_path)) == ["new/c"]
    assert [path.name for path in folder.iterdir()] == ["planned.json"]


def test_a_search_lists_none_and_removes_an_earlier_grid_s_list(tmp_path: Path):
    write_planned(config(tmp_path), [config(tmp_path, subdir="a")])
    for _ in range(2):
        write_planned(config(tmp_path, "optuna"), [config(tmp_path, "optuna", "b")])
        assert not list(tmp_path.iterdir())


def test_finished_jobs_get_the_report_that_is_typed_now(tmp_path: Path):
    report = {"metric": "accuracy", "margin": 0.0}
    for name in ("a", "b"):
        (tmp_path / name).mkdir()
        (tmp_path / name / "result.json").write_text(json.dumps({"config": {"lr": 1, "report": report}, "trials": []}))
    (tmp_path / "b" / "result.json").write_text("damaged")
    before = (tmp_path / "a" / "result.json").stat().st_mtime_ns
    renew_report(tmp_path, OmegaConf.create({"report": report}))
    assert (tmp_path / "a" / "result.json").stat().st_mtime_ns == before
    typed = {**report, "metric": "macro_f1"}
    renew_report(tmp_path, OmegaConf.create({"report": typed}))
    result = json.loads((tmp_path / "a" / "result.json").read_text())
    assert result == {"config": {"lr": 1, "report": typed}, "trials": []}
    assert (tmp_path / "b" / "result.json").read_text() == "damaged"


def test_a_job_that_runs_alone_leaves_the_reports_of_jobs_in_folders_inside_its_own(tmp_path: Path):
    old, new = ({"baseline": None, "margin": 0, "metric": metric} for metric in ("macro_f1", "accuracy"))
    for folder in (tmp_path, tmp_path / "inside"):
        folder.mkdir(exist_ok=True)
        (folder / "result.json").write_text(json.dumps({"config": {"report": old}, "trials": []}))
    renew_report(tmp_path, OmegaConf.create({"report": new}), alone=True)
    found = [json.loads((folder / "result.json").read_text()) for folder in (tmp_path, tmp_path / "inside")]
    assert [each["config"]["report"]["metric"] for each in found] == ["accuracy", "macro_f1"]
