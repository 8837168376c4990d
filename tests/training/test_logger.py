from pathlib import Path

import pytest
import torch
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator
from tensorboard.plugins.custom_scalar.layout_pb2 import Layout  # type: ignore[attr-defined]

from graft.training.logger import band, curves, log_final


def test_a_band_is_the_mean_and_the_range_of_the_trials():
    point = band("loss/val", torch.tensor([1.0, 2.0, 6.0]))
    assert point == {"loss/val/mean": 3.0, "loss/val/trials_highest": 6.0, "loss/val/trials_lowest": 1.0}
    assert sorted(point)[0] == "loss/val/mean"  # TensorBoard's order


def test_the_custom_scalars_tab_draws_the_band_of_each_split_from_what_is_logged(tmp_path: Path):
    logger = curves(tmp_path, ("train", "val"))
    point = band("accuracy/val", torch.tensor([0.5, 0.7]))
    logger.log_metrics(point, step=3)
    logger.finalize("success")
    events = EventAccumulator(str(tmp_path / "tensorboard" / tmp_path.name)).Reload()
    assert {name: (event.step, event.value) for name in point for event in events.Scalars(name)} == {
        name: (3, pytest.approx(value)) for name, value in point.items()
    }
    (tensor,) = events.Tensors("custom_scalars__config__")
    layout = Layout.FromString(tensor.tensor_proto.string_val[0])
    charts = {(category.title, chart.title): chart for category in layout.category for chart in category.chart}
    assert charts.keys() == {(metric, split) for metric in ("accuracy", "loss") for split in ("train", "val")}
    (series,) = charts["accuracy", "val"].margin.series
    assert [series.value, series.upper, series.lower] == list(point)


def test_runs_are_told_apart_by_the_end_of_their_names_which_tensorboard_shows(tmp_path: Path):
    for name in ("head=plain", "head=dense512"):
        curves(tmp_path / name, ("test",)).finalize("success")
        curves(tmp_path / name, ("test",), "trials_0-1").finalize("success")
        log_final(tmp_path / name, {"lr": 0.1}, {"mean": 0.5, "min": 0.4, "max": 0.6})
    runs = {path.parent.relative_to(tmp_path) for path in tmp_path.rglob("events*")}
    assert sorted(map(str, runs)) == [
        "head=dense512/tensorboard/head=dense512", "head=dense512/tensorboard/head=dense512/trials_0-1",
        "head=plain/tensorboard/head=plain", "head=plain/tensorboard/head=plain/trials_0-1",
    ]  # fmt: skip


def test_the_hparams_tab_has_the_metric_s_name_and_the_mean_first(tmp_path: Path):
    accuracy = {"mean": 0.5, "min": 0.4, "max": 0.6, "ci95": [0.35, 0.65]}
    log_final(tmp_path, {"lr": 0.1, "head": "plain"}, accuracy)
    events = EventAccumulator(str(tmp_path / "tensorboard" / tmp_path.name)).Reload()
    values = {name: events.Scalars(name)[0].value for name in sorted(events.Tags()["scalars"])}
    assert values == pytest.approx(
        {
            "test_accuracy/mean": 0.5,
            "test_accuracy/mean_ci95_high": 0.65,
            "test_accuracy/mean_ci95_low": 0.35,
            "test_accuracy/trials_highest": 0.6,
            "test_accuracy/trials_lowest": 0.4,
        }
    )
    assert next(iter(values)) == "test_accuracy/mean"
    assert "_hparams_/session_start_info" in events.summary_metadata
