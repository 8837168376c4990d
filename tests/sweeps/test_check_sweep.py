"""A sweep's checks before its first job: what its jobs are, and where they write."""

import json
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest
from folders import forget, write_classes, write_picture
from omegaconf import DictConfig

from graft.config.build import to_plain
from graft.config.identity import without_hydra
from graft.errors import ConfigError, GraftError, OtherResult
from graft.run.make_plan import planned_images
from graft.sweeps.check_sweep import check_run
from graft.sweeps.job_folders import make_writable

Sweep = Callable[..., list[DictConfig]]


def test_two_files_whose_names_differ_in_a_separator_have_two_folders(sweep: Sweep):
    jobs = sweep("source=file", "source.path=w/a/x.safetensors,w/a_x.safetensors", "dropout=0,0.5", "name=s")
    folders = [job.hydra.sweep.subdir for job in jobs]
    assert len({folder.casefold() for folder in folders}) == 4
    assert all(folder.startswith("source.path=w_a_x.safetensors-") for folder in folders)


def test_two_jobs_in_one_folder_are_refused_before_anything_is_made(sweep: Sweep, tmp_path: Path):
    with pytest.raises(GraftError, match=r"^same would be the folder of two jobs, dropout=0 and dropout=0.5; try"):
        sweep("dropout=0,0.5", "name=s", "hydra.sweep.subdir=same")
    assert not list(tmp_path.iterdir())


def test_an_override_is_said_to_have_no_effect_once_and_only_if_it_has_none_in_any_job(
    sweep: Sweep, capsys: pytest.CaptureFixture[str]
):
    step, unmoved = ("schedule=step", "name=s"), [f"augment.{each}=0" for each in ("translate", "scale", "shear")]
    sweep(*step, "schedule.gamma=0.1,1")
    sweep("augment=digits", *unmoved, "augment.elastic=0", "augment.rotate=0,15", "name=s")
    sweep("source=scratch,big", "dataset.big=[0,2]", "baseline=none", "name=s")
    assert "no effect" not in capsys.readouterr().err
    sweep(*step, "schedule.gamma=1", "schedule.step_size=5,10")
    said = [f"{key} has no effect: schedule.gamma=1 leaves the learning rate as it is" for key in ("=step", "_size=5")]
    found = capsys.readouterr().err
    assert found.count(said[0]) == found.count(said[1]) == 1
    assert found.count("no effect") == 3


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["seed=0,1"], "seed= is no setting that could be better"),
        (["seed=0,1", "trials=2,3"], "seed= and trials= are no setting that could be better"),
        (["seed=1", "trials=3", "dropout=0,0.5"], ""),
    ],
)
def test_jobs_that_differ_in_their_trials_are_said_to_be_repetitions(
    sweep: Sweep, capsys: pytest.CaptureFixture[str], words: list[str], said: str
):
    sweep(*words, "name=s")
    found = capsys.readouterr().err
    assert said in found if said else "could be better" not in found


@pytest.mark.parametrize(("margin", "told"), [(0, False), (0.01, True), (1, False)])
def test_a_margin_that_looks_like_a_fraction_is_told(
    sweep: Sweep, capsys: pytest.CaptureFixture[str], margin: float, told: bool
):
    sweep("head=plain,dense", f"report.margin={margin}")
    assert ("is in percent points" in capsys.readouterr().err) == told


@pytest.mark.slow
@pytest.mark.parametrize(
    "words",
    [
        ["dropout=0,0.0"],
        ["lr=0.001,1e-3"],
        ["lr=1,1.0"],
        ["regularize.ema=0,0.0"],
        ["head=plain,plain"],
        ["head=dense,dense512"],
        ["+optimizer.amsgrad=true,True"],
        ["dataset.small=[1,3],[1,3]"],
        ["dataset.small=[1,3],['1','3']"],
    ],
)
def test_jobs_of_one_configuration_are_one_job(sweep: Sweep, capsys: pytest.CaptureFixture[str], words: list[str]):
    assert len(sweep(*words, "name=s")) == 1
    said = capsys.readouterr().err
    assert said.startswith("1 of 2 jobs repeats a configuration, which runs once: ")
    assert said.count("\n") == 1


@pytest.mark.parametrize(
    ("words", "kept"),
    [
        (
            ["head=plain,lda", "dropout=0,0.5"],
            ["head=plain_dropout=0", "head=plain_dropout=0.5", "head=lda_dropout=0"],
        ),
        (["head=lda", "optimizer=adam,sgd", "lr=0.1,1"], ["optimizer=adam_lr=0.1"]),
        (
            ["head=plain,dense", "activation=relu,tanh", "backbone=efficientnet_lite0", "source=imagenet"],
            ["head=plain_activation=relu", "head=dense_activation=relu", "head=dense_activation=tanh"],
        ),
        (["tune.lr_factor=1,0.1", "tune.thaw=0,1"], None),  # with a thawed stage it has an effect
    ],
)
def test_a_value_without_effect_on_a_job_makes_no_other_job(sweep: Sweep, words: list[str], kept: list[str] | None):
    found = [job.hydra.sweep.subdir for job in sweep(*words, "baseline=none", "name=s")]
    assert len(found) == 3 if kept is None else found == kept


@pytest.mark.parametrize(
    ("words", "kept"),
    [
        (["tune=auto,frozen,full"], ["tune=auto", "tune=full"]),
        (["source=scratch", "tune=full,auto"], ["tune=full"]),
        (["tune.thaw=auto,0,1"], ["tune.thaw=auto", "tune.thaw=1"]),
        (["tune=auto,full", "source=scratch,big"], None),  # a whole grid, whose keys have effects
    ],
)
def test_auto_is_the_way_that_it_stands_for_where_it_stands_for_another_one_in_all_jobs(
    sweep: Sweep, capsys: pytest.CaptureFixture[str], words: list[str], kept: list[str] | None
):
    found = [job.hydra.sweep.subdir for job in sweep(*words, "baseline=none", "name=s")]
    assert len(found) == 4 if kept is None else found == kept
    assert ("which runs once" in capsys.readouterr().err) == (kept is not None)


@pytest.mark.slow
@pytest.mark.parametrize(
    ("words", "kept"),
    [
        (["dataset.small=[cat,dog],[0,1]"], 1),
        (["dataset.small=[cat,dog],[0,dog],[1,2]"], 2),
        (["dataset.small=[cat,dog],[dog,0]"], 2),  # another order of the classes is another job
        (["dataset.small=all,[cat,dog,fox]"], 1),
        (["dataset.small=[cat,dog]", "dataset.big=rest,[fox],[2]"], 1),
        (["dataset.small=[cat,dog],[0,1]", "dropout=0,0.5"], 2),
        (["dataset.small=[cat,dog],[0,bird]"], 2),  # the second has no such class, which its job says
    ],
)
def test_classes_by_names_and_by_numbers_are_one_job(sweep: Sweep, tmp_path: Path, words: list[str], kept: int):
    write_classes(tmp_path / "pictures", cat=3, dog=3, fox=3)
    common = ["dataset=image_folder", "dataset.root=pictures", "dataset.small_per_class=1", "source=scratch", "name=s"]
    assert len(sweep(*common, *words)) == kept


def test_jobs_whose_classes_were_typed_alike_are_told_apart_without_the_data(sweep: Sweep):
    assert len(sweep("dataset=image_folder", "dataset.root=missing", "dataset.small=[0,1],[1,2]", "name=s")) == 2
    assert len(sweep("dataset=image_folder", "dataset.root=missing", "dataset.small=[0,1],[cat,dog]", "name=s")) == 2


def test_many_repeated_jobs_are_one_line(sweep: Sweep, capsys: pytest.CaptureFixture[str]):
    assert len(sweep("head=dense,dense512", "dropout=0,0.0,0.00", "epochs=1,2", "name=s")) == 2
    said = capsys.readouterr().err
    assert said.count("\n") == 1
    assert said.startswith("10 of 12 jobs repeat a configuration, which runs once: head=dense dropout=0")
    assert said.endswith(", and 7 more\n")


def test_of_equal_jobs_one_that_has_run_is_kept_and_one_that_has_failed_runs_again(sweep: Sweep, tmp_path: Path):
    def kept() -> list[str]:
        return [job.hydra.sweep.subdir for job in sweep("head=dense,dense512", "name=s")]

    folders = {head: tmp_path / f"outputs/s/head={head}" for head in ("dense", "dense512")}
    assert kept() == ["head=dense"]
    folders["dense512"].mkdir(parents=True)
    (folders["dense512"] / "result.json").write_text("{}")
    assert kept() == ["head=dense512"]
    folders["dense"].mkdir()
    (folders["dense"] / "result.json").write_text("{}")
    assert kept() == ["head=dense"]
    (folders["dense512"] / "failure.json").write_text("{}")
    assert kept() == ["head=dense", "head=dense512"]


def test_equal_experiments_are_one_job(sweep: Sweep, tmp_path: Path, capsys: pytest.CaptureFixture[str]):
    for name in ("one", "two"):
        path = tmp_path / f"mine/experiment/{name}.yaml"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text("# @package _global_\ndropout: 0.25\n")
    jobs = sweep("experiment=one,two", "name=s", f"hydra.searchpath=[{tmp_path}/mine]")
    assert [job.hydra.sweep.subdir for job in jobs] == ["experiment=one"]
    assert "experiment=two is experiment=one" in capsys.readouterr().err


@pytest.mark.slow
def test_a_copied_data_set_is_found_again_and_another_one_is_refused(sweep: Sweep, tmp_path: Path):
    def check_at(root: str) -> list[DictConfig]:
        forget()
        words = ("dataset=image_folder", f"dataset.root={root}", "dataset.small_per_class=1", "source=scratch")
        return sweep(*words, "dropout=0,0.5", "name=s")

    write_classes(tmp_path / "A", cat=3, dog=3)
    images = planned_images(without_hydra(check_at("A")[0])).fingerprint
    for job in check_at("A"):
        folder = tmp_path / "outputs/s" / job.hydra.sweep.subdir
        folder.mkdir()
        content = {"config": to_plain(without_hydra(job)), "contents": {"images": images}}
        (folder / "result.json").write_text(json.dumps(content))
    shutil.copytree(tmp_path / "A", tmp_path / "B")
    (tmp_path / "link").symlink_to("A")
    for same in ("A/", "./A", "B", "link", str(tmp_path / "B")):
        assert len(check_at(same)) == 2
    write_picture(tmp_path / "B/cat/00.bmp", 999)
    with pytest.raises(OtherResult, match=r"^outputs/s/dropout=0 has the result .* \(dataset\.root differ\)"):
        check_at("B")
    with pytest.raises(GraftError, match=r"dataset\.root=C is not a folder"):
        check_at("C")


@pytest.mark.parametrize("words", [["dropout=0,0.5"], ["trials_at_once=1,2"], ["+trainer.limit_train_batches=1,1.0"]])
def test_jobs_that_differ_are_not_called_equal(sweep: Sweep, capsys: pytest.CaptureFixture[str], words: list[str]):
    assert len(sweep(*words, "name=s")) == 2
    assert "repeat" not in capsys.readouterr().err


@pytest.mark.parametrize("name", ["name=../../evil", "name=/abs"])
def test_a_name_that_leads_out_is_refused_before_anything_is_made(sweep: Sweep, tmp_path: Path, name: str):
    with pytest.raises(ConfigError, match=r"^name must be the name of a folder inside outputs/, got .*hydra\.run\.dir"):
        sweep("dropout=0,0.5", name)
    assert not list(tmp_path.iterdir())


def test_a_folder_that_cannot_be_written_is_named_with_the_working_directory(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "file").touch()
    expected = rf"cannot write to file/run \(Not a directory\), seen from {tmp_path}; try another working directory"
    with pytest.raises(GraftError, match=expected):
        make_writable(Path("file/run"))


@pytest.mark.slow
@pytest.mark.parametrize(
    ("words", "message"),
    [
        (
            ["report.metric=loss", "report.margin=1"],
            "margin=1.0 is in percent points, which report.metric=loss is not",
        ),
        (["report.metric=loss,accuracy"], r"report.\* cannot be swept"),
        (["report.margin=0,1"], r"report.\* cannot be swept"),
        (["report.figures=[svg,jpg]"], r"report.figures must be png, svg, pdf, or a list of different formats, got"),
        (["report.metric=f1"], "report.metric must be accuracy, balanced_accuracy, macro_f1"),
    ],
)
def test_a_report_s_metric_must_mean_something(sweep: Sweep, words: list[str], message: str):
    with pytest.raises(GraftError, match=message):
        sweep("dropout=0,0.5", "name=s", *words)


def test_a_lone_job_s_metric_must_mean_something_too(sweep: Sweep):
    (job,) = sweep("dropout=0", "name=s")
    job.report.metric, job.report.margin = "loss", 1.0
    with pytest.raises(GraftError, match=r"margin=1.0 is in percent points, which report.metric=loss is not"):
        check_run(job)


def test_a_lone_job_forgets_how_many_trials_a_killed_sweep_gave_it(sweep: Sweep, tmp_path: Path):
    (job,) = sweep("dropout=0", "name=s/one")
    left = tmp_path / job.hydra.run.dir / "round.json"
    left.parent.mkdir(parents=True, exist_ok=True)
    left.write_text('{"trials": 6}')
    check_run(job)
    assert not left.exists()


def test_what_compares_jobs_is_said_to_have_no_effect_on_a_lone_one(sweep: Sweep, capsys: pytest.CaptureFixture[str]):
    words = ("report.margin=1", "report.baseline=source:big", "baseline=none")
    (job,) = sweep("dropout=0", "name=s", *words)
    assert "no effect" not in capsys.readouterr().err
    check_run(job)
    said = capsys.readouterr().err
    assert "baseline=none has no effect: only a grid adds jobs; try -m\n" in said
    assert said.count(" has no effect: a job that runs alone is compared with none; src/report.py compares") == 2


@pytest.mark.slow
def test_all_working_directories_may_share_a_cache(sweep: Sweep, tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    assert sweep("dropout=0,0.5", "name=s")[0].cache == "outputs/cache"
    monkeypatch.setenv("GRAFT_CACHE", str(tmp_path / "mine"))
    assert sweep("dropout=0,0.5", "name=s")[0].cache == str(tmp_path / "mine")
    for wrong in ("", "~/cache"):
        monkeypatch.setenv("GRAFT_CACHE", wrong)
        with pytest.raises(ConfigError, match=r"^cache must be the path of a folder \(~ works"):
            sweep("dropout=0,0.5", "name=s")
