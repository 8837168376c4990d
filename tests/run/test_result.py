import json
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pandas
import pytest
import torch
from scipy import stats
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator
from torchvision.models import get_model_weights

from graft.backbones.backbone import CNN
from graft.backbones.backbone_torchvision import Torchvision
from graft.data.preprocess import Preprocess
from graft.results.measured import measured
from graft.results.outcomes import read_outcomes
from graft.run.result import gflops
from graft.statistics.comparison import spread
from graft.training import features

Run = Callable[..., dict]
TINY = ("trials=3", "epochs=4", "val_every=2", "source.epochs=1", "dataset.val_per_class=10")

COUNTS = {"small": 20, "pool": 250, "test": 250}


def test_result_json_has_the_interface_s_content(run: Run, tmp_path: Path):
    result = run(*TINY)
    assert json.loads((tmp_path / "job" / "result.json").read_text()) == result
    assert list(result) == [
        "config", "trials", "images", "choices", "lr", "accuracy", "parameters", "backbone", "seconds", "reference",
        "versions", "hardware", "identity", "contents",
    ]  # fmt: skip
    assert [trial["seed"] for trial in result["trials"]] == [0, 1, 2]
    assert {trial["epoch"] for trial in result["trials"]} == {4}
    measures = {"accuracy", "loss", "balanced_accuracy", "macro_f1", "correct", "tested"}
    assert set(result["trials"][0]) == {"seed", "epoch", *measures, *(f"val_{name}" for name in measures)}
    values = [trial["accuracy"] for trial in result["trials"]]
    described = {"mean": np.mean(values), "min": min(values), "max": max(values), "std": np.std(values, ddof=1)}
    assert {name: result["accuracy"][name] for name in described} == pytest.approx(described)
    shown = spread(measured(result, read_outcomes(tmp_path / "job")))  # as a report computes it from the files
    assert shown.interval is not None
    assert result["accuracy"]["ci95"] == pytest.approx(shown.interval)
    over_images = stats.binomtest(round(1250 * np.mean(values)), 1250).proportion_ci(method="wilson")
    low, high = result["accuracy"]["ci95"]
    assert high - low > 0.8 * (over_images.high - over_images.low)  # three trials share these images
    assert result["accuracy"]["ci95_counts"] == "training draws and test images"
    assert list(result["seconds"]) == ["total", "pretrain", "features", "train", "test"]
    assert result["versions"].keys() >= {"graft", "python", "torch", "torchvision", "numpy", "scipy"}
    digits = ("1", "3", "5", "7", "9")
    assert result["images"] == {
        **{"big": 2500, "small": 100, "val": 50, "test": 1250, "pool": 1250, "draws_vary": True},
        "by_class": {split: dict.fromkeys(digits, count) for split, count in COUNTS.items()},
    }
    assert result["config"]["activation"] == "relu"


@pytest.mark.parametrize(("classes", "shown"), [("[9,7,5,3,1]", True), ("[cat,dog]", False)])
def test_a_published_range_is_shown_beside_jobs_of_its_own_classes_only(
    run: Run, caplog: pytest.LogCaptureFixture, classes: str, shown: bool
):
    words = ("trials=1", "epochs=1", "source=scratch", "reference={low: 0.3, high: 1, source: paper}")
    plain = run(*words)
    result = run(*words, f"+reference.classes={classes}", name="of_classes")
    assert result["reference"] == ({"low": 0.3, "high": 1, "source": "paper"} if shown else None)
    assert result["identity"] == plain["identity"]  # the job is the same one
    told = "the published range (paper) is of the classes cat, dog, and this job's are 1, 3, 5, 7, 9"
    assert (told in caplog.text) != shown


@pytest.mark.parametrize(("thaw", "measured"), [(0, True), (1, False), ("all", False)])
def test_a_backbone_has_no_speed_where_only_a_part_of_it_computed_features(run: Run, thaw: int | str, measured: bool):
    features._memory.clear()  # another test's, whose cache has their speed
    cost = run(*TINY, f"tune.thaw={thaw}")["backbone"]
    assert cost["gflops"] > 0
    assert (cost["images_per_second"] is not None) == measured


def test_a_model_that_was_exported_from_an_earlier_result_is_told(
    run: Run, tmp_path: Path, caplog: pytest.LogCaptureFixture
):
    words = ("trials=2", "epochs=1", "source=scratch")
    run(*words)
    (tmp_path / "job" / "export").mkdir()
    assert "earlier result" not in caplog.text
    run(*words)
    assert "export has the model of an earlier result of this job: run src/export.py again" in caplog.text


@pytest.mark.slow
def test_the_same_command_gives_the_same_result_and_another_seed_another(run: Run):
    first, second, other = run(*TINY), run(*TINY, name="again"), run(*TINY, "seed=3", name="other")
    for result in (first, second, other):
        del result["seconds"], result["config"]["cache"]
    assert first["identity"] == second["identity"] != other["identity"]
    assert first == second
    assert {trial["accuracy"] for trial in first["trials"]}.isdisjoint(trial["loss"] for trial in other["trials"])
    assert [trial["loss"] for trial in first["trials"]] != [trial["loss"] for trial in other["trials"]]


def test_the_history_has_every_point_once(run: Run, tmp_path: Path):
    result = run(*TINY)
    history = pandas.read_csv(tmp_path / "job" / "history.csv")
    assert list(history) == ["trial", "epoch", "split", "metric", "value"]
    assert not history.duplicated(["trial", "epoch", "split", "metric"]).any()
    epochs = {split: sorted(rows["epoch"].unique()) for split, rows in history.groupby("split")}
    assert epochs == {"train": [1, 2, 3, 4], "val": [2, 4], "test": [2, 4]}
    last = history.query("split == 'test' and metric == 'accuracy' and epoch == 4").sort_values("trial")
    assert list(last["value"]) == [trial["accuracy"] for trial in result["trials"]]


def test_without_curves_the_test_is_the_last_epoch_s(run: Run, tmp_path: Path):
    run(*TINY, "test_curve=false", "dataset.val_per_class=0")
    history = pandas.read_csv(tmp_path / "job" / "history.csv")
    assert sorted(history.query("split == 'test'")["epoch"].unique()) == [4]


@pytest.mark.slow
@pytest.mark.parametrize("at_once", ["auto", "1", "2"])
def test_curves_are_bands_over_all_trials(run: Run, tmp_path: Path, at_once: str):
    run(*TINY, f"trials_at_once={at_once}")
    history = pandas.read_csv(tmp_path / "job" / "history.csv")
    events = EventAccumulator(str(tmp_path / "job" / "tensorboard" / "job")).Reload()
    for split in ("train", "val", "test"):
        rows = history[(history["split"] == split) & (history["metric"] == "accuracy")]
        expected = rows.pivot(index="epoch", columns="trial", values="value")
        for line, values in (("mean", np.mean), ("trials_lowest", np.min), ("trials_highest", np.max)):
            points = events.Scalars(f"accuracy/{split}/{line}")
            assert [point.step for point in points] == expected.index.tolist()
            assert [point.value for point in points] == pytest.approx(values(expected.to_numpy(), axis=1), abs=1e-5)


def test_tensorboard_s_hparams_tab_gets_the_final_numbers(run: Run, tmp_path: Path):
    result = run(*TINY)
    events = EventAccumulator(str(tmp_path / "job" / "tensorboard" / "job" / "answer")).Reload()
    assert events.Scalars("test_accuracy/mean")[0].value == pytest.approx(result["accuracy"]["mean"])
    assert events.Scalars("test_accuracy/trials_lowest")[0].value == pytest.approx(result["accuracy"]["min"])
    assert "_hparams_/session_start_info" in events.summary_metadata


@pytest.mark.slow
def test_a_result_s_curves_stay_until_another_run_has_finished(
    run: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    def curves() -> dict[str, bytes]:
        return {path.name: path.read_bytes() for path in (tmp_path / "job" / "tensorboard" / "job").glob("events*")}

    short = (*TINY, "trials=2", "epochs=2", "+trainer.max_time=00:01:00:00")
    run(*short)
    first = curves()
    assert first
    with monkeypatch.context() as patch:
        patch.setattr("graft.run.phase.Fit.test", lambda _: 1 / 0)
        for _ in range(2):  # the second run must not take the first one's curves for those of the result
            with pytest.raises(ZeroDivisionError):
                run(*short)
            assert (tmp_path / "job" / "tensorboard_earlier").exists()
            assert curves() != first
    run(*short, resume=True)
    assert curves() == first
    with monkeypatch.context() as patch:
        patch.setattr("graft.run.phase.Fit.unseen", lambda *_: ["the training saw less"])
        assert run(*short)["trial_run"] == ["the training saw less"]
    assert curves() == first
    run(*short)
    assert curves().keys().isdisjoint(first)
    assert not (tmp_path / "job" / "tensorboard_earlier").exists()


@pytest.mark.parametrize("model", ["resnet18", "vit_b_16"])
def test_operations_are_the_published_ones(model: str):
    with torch.device("meta"):
        backbone = Torchvision(Preprocess([3, 224, 224]), model)
    (weights, *_) = get_model_weights(model)
    multiplications = weights.meta["_ops"]  # by 1e9, those of the classifier included; each has an addition
    assert gflops(backbone) == pytest.approx(2 * multiplications, rel=1e-3)


@pytest.mark.parametrize(
    ("keep", "expected"), [(0, 0), (1, 26 * 26 * 32 * 9), (None, 26 * 26 * 32 * 9 + 11 * 11 * 64 * 288)]
)
def test_operations_are_those_of_the_kept_stages(keep: int | None, expected: int):
    assert gflops(CNN(Preprocess([1, 28, 28]), keep=keep)) == pytest.approx(2 * expected / 1e9, rel=1e-12)
