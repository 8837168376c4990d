import sys
from collections.abc import Iterator
from contextlib import nullcontext
from pathlib import Path
from typing import Any

import pytest
from conftest import ROOT
from folders import write_classes
from hydra import compose, initialize_config_dir
from omegaconf import DictConfig, OmegaConf

from graft.errors import ConfigError, GraftError
from graft.sweeps.space import Choice, Range, jobs_to_check, read_space
from graft.sweeps.sweep import SweepCallback


@pytest.fixture(autouse=True)
def hydra() -> Iterator[None]:
    with initialize_config_dir(str(ROOT / "conf"), version_base="1.3"):
        yield


def searched(*typed: str, **space: Any) -> dict[str, Range | Choice]:
    config = {"sweep": {"space": space}, "hydra": {"overrides": {"task": list(typed)}}}
    return read_space(OmegaConf.create(config))[0]


@pytest.mark.parametrize(
    ("typed", "own"),
    [
        ("lr=interval(0.001,1)", {"low": 0.001, "high": 1}),
        ("lr=tag(log,interval(1e-4,1e-1))", {"low": 1e-4, "high": 1e-1, "log": True}),
        ("width=tag(log,int,interval(16,1024))", {"low": 16, "high": 1024, "log": True, "int": True}),
        ("width=int(interval(16,1024))", {"low": 16, "high": 1024, "int": True}),
        ("width=range(16,64,16)", {"low": 16, "high": 48, "step": 16, "int": True}),
        ("dropout=range(0,0.9,0.1)", {"low": 0, "high": 0.8, "step": 0.1}),
        ("dropout=choice(0,0.5)", [0, 0.5]),
        ("dropout=0,0.5", [0, 0.5]),
        ("head=shuffle(dense512,plain)", ["dense512", "plain"]),
        ("head=glob(dense*)", ["dense", "dense512"]),
        ("head.widths=[512],[64,64],null", [[512], [64, 64], None]),
    ],
)
def test_hydra_s_grammar_and_our_keys_mean_the_same(typed: str, own: Any):
    key = typed.partition("=")[0]
    assert searched(typed, ignored=[1, 2]) == searched(**{key: own})


def test_a_range_s_values_are_read_well_and_lie_within_it():
    assert Range(0, 0.8, step=0.1).value(0.30000000000000004) == "0.3"
    assert Range(0.00012344, 1, log=True).value(0.000123441) == "0.00012344"
    assert Range(1e-4, 1, log=True).value(0.00123456) == "0.001235"
    assert Range(16, 1024, int=True).values_to_check() == ["16", "1024"]


def test_a_key_with_one_value_is_not_searched():
    assert list(searched("lr=0.01", lr=[0.1, 1], dropout=[0, 0.5])) == ["dropout"]


def test_the_jobs_to_check_have_both_ends_of_each_range_and_each_listed_value():
    config = {"sweep": {"space": {"lr": {"low": 0.1, "high": 1}, "head": ["a", "b", "c"]}}}
    config["hydra"] = {"overrides": {"task": ["epochs=3"]}}
    jobs = [["lr=0.1", "head=a"], ["lr=1.0", "head=a"], ["lr=0.1", "head=b"], ["lr=0.1", "head=c"]]
    assert list(jobs_to_check(OmegaConf.create(config))) == [[*job, "epochs=3"] for job in jobs]


@pytest.mark.parametrize(
    ("typed", "space", "message"),
    [
        ([], {"lr": {"low": 1, "high": 0.1}}, "sweep.space.lr must be a range with low below high, got low=1 and"),
        ([], {"lr": {"low": 1, "high": 0.1}}, "got low=1 and high=0.1; try low=0.1 and high=1"),
        ([], {"lr": {"low": 0, "high": 1, "log": True}}, "lr must be a range with low above 0, because log is true"),
        ([], {"lr": {"low": 1, "high": 2, "log": True, "step": 1}}, "lr must be a range with log or step, not both"),
        ([], {"lr": {"low": 1, "high": 2, "step": 0}}, "lr must be a range with step above 0, got step=0"),
        ([], {"lr": {"low": 1, "high": 2.5, "int": True}}, "lr must be a range of whole numbers, because int is true"),
        ([], {"lr": {"low": "a", "high": 1}}, "sweep.space.lr.low must be a number, got a"),
        ([], {"lr": {"low": 1, "high": 2, "log": 1}}, "sweep.space.lr.log must be true or false, got 1"),
        ([], {"lr": {"low": 1, "high": float("nan")}}, "sweep.space.lr.high must be a number, got nan"),
        (
            [],
            {"lr": {"low": 1, "high": 2, "max": 3}},
            "lr must be a range of low, high, log, step and int, got also max",
        ),
        ([], {"lr": {"low": 1}}, "sweep.space.lr must be a list, or a range with low and high"),
        ([], {"lr": 0.1}, "sweep.space.lr must be a list, or a range with low and high, got 0.1"),
        ([], {"lr": []}, "sweep.space.lr must be a list of at least one value, got none"),
        ([], {}, "there is nothing to search; try lr=interval(1e-4,1e-1)"),
        (["lr=interval(1,0.1)"], {}, "lr must be a range with low below high, got low=1.0 and high=0.1"),
        (["width=range(1,5,0)"], {}, "width must be a range with another step, got step 0; try step 1"),
        (["lr=range(0.001,0.01)"], {}, "lr=range(0.001,0.01) lists 0.001 only, because its step is 1; try range(0.001"),
        (["lr=interval(0,1)", "sweep.space.lr.low=0"], {}, "lr=interval(0,1) replaces sweep.space; try all ranges"),
        (["head=glob(x*)"], {}, "head must be a list of at least one value, got none"),
        (["sweep.seed=1,2"], {}, "sweep.seed must be one value, because it is a setting of the search"),
    ],
)
def test_spaces_that_cannot_be_are_refused(typed: list[str], space: dict[str, Any], message: str):
    with pytest.raises(GraftError) as error:
        searched(*typed, **space)
    assert message in str(error.value)


VALIDATED = "dataset.val_per_class=20"


@pytest.mark.slow
@pytest.mark.parametrize(
    ("overrides", "message"),
    [
        ([], "there are no validation images, and sweep=optuna chooses jobs by validation accuracy"),
        ([], "(never by test images); try dataset.val_per_class=20"),
        (["dataset=image_folder", "dataset.root=no"], "there are no validation images"),
        ([VALIDATED, "+sweep.space.droput=[1]"], "no key droput; did you mean dropout?"),
        ([VALIDATED, "sweep.space.head=[plain,foo]"], "no option foo for head; there are dense, dense512"),
        ([VALIDATED, "sweep.space.dropout.high=1.5"], "dropout must be in [0, 1), got 1.5"),
        ([VALIDATED, "+sweep.space.width={low: 16, high: 20}"], "width must be a whole number of at least 1, got 16.0"),
        ([VALIDATED, "sweep.jobs=0"], "sweep.jobs must be a whole number of at least 1, got 0; try sweep.jobs=20"),
        ([VALIDATED, "sweep.at_once=0"], "sweep.at_once must be"),
        ([VALIDATED, "sweep.sampler=cma"], "sweep.sampler must be tpe or random, got cma"),
        ([VALIDATED, "sweep.pruner=asha"], "sweep.pruner must be median, halving, hyperband or none, got asha"),
        ([VALIDATED, "sweep.seed=-1"], "sweep.seed must be"),
        ([VALIDATED, "sweep.storage=3"], "sweep.storage must be null or an SQLAlchemy URL, got 3"),
    ],
)
def test_searches_that_cannot_be_are_refused_before_the_first_job(
    overrides: list[str], message: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
):
    with pytest.raises(SystemExit):
        SweepCallback().on_multirun_start(sweep(tmp_path, *overrides))
    assert message in capsys.readouterr().err
    assert not list(tmp_path.iterdir())


def test_a_search_needs_optuna_and_m(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
):
    with pytest.raises(SystemExit):
        SweepCallback().on_run_start(sweep(tmp_path))
    assert "sweep=optuna needs -m; try python src/train.py -m sweep=optuna" in capsys.readouterr().err
    SweepCallback().on_multirun_start(sweep(tmp_path, VALIDATED))
    monkeypatch.setitem(sys.modules, "optuna", None)
    with pytest.raises(SystemExit):
        SweepCallback().on_multirun_start(sweep(tmp_path, VALIDATED))
    assert 'sweep=optuna needs Optuna; try pip install -e ".[optuna]"' in capsys.readouterr().err


@pytest.mark.parametrize(
    ("parts", "enough"),
    [
        (["train", "test"], False),
        (["train", "val"], False),  # val is the test set
        (["train", "val", "test"], True),
        (["Training", "valid", "Testing"], True),
    ],
)
def test_a_folder_of_validation_images_beside_test_images_is_enough(
    parts: list[str], enough: bool, tmp_path: Path, capsys: pytest.CaptureFixture[str]
):
    for part in parts:
        write_classes(tmp_path, **{f"{part}_cat": 20, f"{part}_dog": 20})
    config = sweep(tmp_path / "out", "dataset=image_folder", f"dataset.root={tmp_path}", "source=scratch")
    with nullcontext() if enough else pytest.raises(SystemExit):
        SweepCallback().on_multirun_start(config)
    assert (tmp_path / "out" / ".sweep.lock").exists() is enough
    assert ("there are no validation images" in capsys.readouterr().err) is not enough


def test_every_fault_of_a_space_is_in_one_message():
    with pytest.raises(ConfigError) as error:
        searched(lr={"low": 1, "high": 0.1}, dropout={"low": 0}, head=[])
    assert [fault.key for fault in error.value.faults] == ["sweep.space.lr", "sweep.space.dropout", "sweep.space.head"]


def sweep(folder: Path, *overrides: str) -> DictConfig:
    words = ["sweep=optuna", f"hydra.sweep.dir={folder}", f"cache={folder}/cache", *overrides]
    return compose("train", words, return_hydra_config=True)
