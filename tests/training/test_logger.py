from pathlib import Path

import pytest
import torch
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator
from tensorboard.plugins.custom_scalar.layout_pb2 import Layout  # type: ignore[attr-defined]

from graft.training.logger import band, curves


def test_a_band_is_the_mean_and_the_range_of_the_trials():
    point = band("loss/val", torch.tensor([1.0, 2.0, 6.0]))
    assert point == {"loss/val/mean": 3.0, "loss/val/low": 1.0, "loss/val/high": 6.0}


def test_the_custom_scalars_tab_draws_the_band_of_each_split_from_what_is_logged(tmp_path: Path):
    logger = curves(tmp_path, "tensorboard", ("train", "val"))
    point = band("accuracy/val", torch.tensor([0.5, 0.7]))
    logger.log_metrics(point, step=3)
    logger.finalize("success")
    events = EventAccumulator(str(tmp_path / "tensorboard")).Reload()
    assert {name: (event.step, event.value) for name in point for event in events.Scalars(name)} == {
        name: (3, pytest.approx(value)) for name, value in point.items()
    }
    (tensor,) = events.Tensors("custom_scalars__config__")
    layout = Layout.FromString(tensor.tensor_proto.string_val[0])
    charts = {(category.title, chart.title): chart for category in layout.category for chart in category.chart}
    assert charts.keys() == {(metric, split) for metric in ("accuracy", "loss") for split in ("train", "val")}
    (series,) = charts["accuracy", "val"].margin.series
    assert [series.value, series.lower, series.upper] == list(point)
