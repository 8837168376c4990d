from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from hydra.core.hydra_config import HydraConfig
from omegaconf import DictConfig, OmegaConf
from sklearn.metrics import f1_score

from graft.config.build import to_plain
from graft.logs import logged_answer as answer
from graft.logs.logged_answer import answer_numbers, settings, texts
from graft.results.outcomes import read_outcomes

Run = Callable[..., dict]
Configure = Callable[..., DictConfig]
TINY = ("trials=3", "epochs=3", "source.epochs=1")


def test_the_numbers_name_the_metric_and_its_split(run: Run, tmp_path: Path):
    result = run(*TINY, "report.metric=macro_f1", "dataset.val_per_class=5")
    outcomes = read_outcomes(tmp_path / "job")
    assert outcomes is not None
    found = answer_numbers(result, outcomes)
    assert {name.partition("/")[0] for name in found} == {
        "test_accuracy", "test_macro_f1", "val_accuracy", "val_macro_f1",
    }  # fmt: skip
    accuracy = result["accuracy"]
    low, high = accuracy["ci95"]
    lines = {"mean": "mean", "trials_lowest": "min", "trials_highest": "max"}
    assert {line: found[f"test_accuracy/{line}"] for line in lines} == {
        line: accuracy[key] for line, key in lines.items()
    }
    assert (found["test_accuracy/mean_ci95_low"], found["test_accuracy/mean_ci95_high"]) == (low, high)
    own = [f1_score(outcomes.test.label[0], said, average="macro") for said in outcomes.test.prediction]
    assert found["test_macro_f1/mean"] == pytest.approx(np.mean(own))
    assert found["test_macro_f1/trials_lowest"] == pytest.approx(min(own))
    assert sorted(name for name in found if name.startswith("test_accuracy"))[0] == "test_accuracy/mean"


def test_a_loss_is_positive_and_its_range_goes_from_low_to_high(run: Run, tmp_path: Path):
    result = run(*TINY, "report.metric=loss")
    found = answer_numbers(result, read_outcomes(tmp_path / "job"))
    losses = [trial["loss"] for trial in result["trials"]]
    assert found["test_loss/mean"] == pytest.approx(np.mean(losses))
    assert found["test_loss/trials_lowest"] == pytest.approx(min(losses))
    assert found["test_loss/trials_highest"] == pytest.approx(max(losses))
    assert found["test_loss/mean_ci95_low"] < found["test_loss/mean"] < found["test_loss/mean_ci95_high"]


def test_a_single_trial_has_a_mean_and_a_metric_that_is_unknown_has_no_number(run: Run):
    found = answer_numbers(run("trials=1", "epochs=1", "source.epochs=1", "report.metric=auroc"), None)
    assert found.keys() == {f"test_accuracy/{line}" for line in ("mean", "trials_lowest", "trials_highest")}


@pytest.mark.parametrize(
    ("typed", "key", "expected"),
    [
        ("optimizer.weight_decay=0.01", "optimizer.weight_decay", 0.01),
        ("backbone.keep=1", "backbone.keep", 1),
        ("head.dropout=0.5", "head.dropout", 0.5),  # equal to the knob, but typed
        ("head._target_=graft.head.Plain", "head._target_", "graft.head.Plain"),
        ("regularize.clip=null", "regularize.clip", "null"),
        ("dataset.small=[1,3]", "dataset.small", "[1, 3]"),
        ("stop={patience:3,min_delta:0.5}", "stop.min_delta", 0.5),
        ("+callbacks.x._target_=mypkg.X", "callbacks.x._target_", "mypkg.X"),
        ("class_weights=balanced", "class_weights", "balanced"),
        ("test_curve=false", "test_curve", False),
    ],
)
def test_every_key_that_was_typed_is_a_setting(
    configure: Configure, monkeypatch: pytest.MonkeyPatch, typed: str, key: str, expected: object
):
    monkeypatch.setattr(answer, "_typed", lambda: [typed])
    content = {"config": to_plain(configure(typed)), "choices": {"head": "plain"}}
    found = settings(content)
    assert found[key] == expected
    assert found["head"] == "plain"
    assert all(isinstance(value, str | int | float) for value in found.values())


def test_an_option_is_shown_by_its_name(configure: Configure, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(answer, "_typed", lambda: ["head=dense512"])
    found = settings({"config": to_plain(configure("head=dense512")), "choices": {"head": "dense512"}})
    assert {"head": "dense512", "head.widths": "[512]"}.items() <= found.items()
    assert "head._target_" not in found


def test_keys_that_nobody_typed_are_settings_but_for_copies_and_classes(configure: Configure):
    found = settings({"config": to_plain(configure("head.dropout=0.3")), "choices": {}})
    assert found["optimizer.weight_decay"] == 0
    assert found["dropout"] == 0.5
    assert found["head.dropout"] == 0.3  # no copy of the knob
    assert found.keys().isdisjoint({"optimizer.lr", "backbone.activation", "head._target_", "optimizer._partial_"})


def test_what_hydra_s_job_was_given_is_known(monkeypatch: pytest.MonkeyPatch):
    assert answer._typed() == []
    hydra = OmegaConf.create({"hydra": {"overrides": {"task": ["lr=0.1"]}}})
    monkeypatch.setattr(HydraConfig, "initialized", lambda: True)
    monkeypatch.setattr(HydraConfig, "get", lambda: hydra.hydra)
    assert answer._typed() == ["lr=0.1"]


def test_the_texts_have_the_answer_as_the_terminal_shows_it_and_the_configuration(run: Run, tmp_path: Path):
    result = run(*TINY)
    found = texts(result, tmp_path / "job")
    mean = f"{100 * result['accuracy']['mean']:.1f} %"
    assert f"| test accuracy | {mean}, mean of 3 trials |" in found["job/answer"]
    assert "for other images and other draws of 20 a class" in found["job/answer"]
    fence, *lines, end = found["job/configuration"].split("\n")
    assert (fence, end) == ("```yaml", "```")
    assert OmegaConf.to_container(OmegaConf.create("\n".join(lines))) == result["config"]
