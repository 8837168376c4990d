from io import BytesIO
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image
from tensorboard.backend.event_processing.data_provider import MultiplexerDataProvider
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator
from tensorboard.backend.event_processing.plugin_event_multiplexer import EventMultiplexer
from tensorboard.context import RequestContext
from tensorboard.plugins.base_plugin import TBContext
from tensorboard.plugins.custom_scalar.layout_pb2 import Layout  # type: ignore[attr-defined]
from tensorboard.plugins.hparams.backend_context import Context

from graft.training.logger import Final, band, curves, forget_curves, log_answer, log_images


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
    metrics = [f"{metric} (a step is an epoch)" for metric in ("accuracy", "loss")]
    assert charts.keys() == {(metric, split) for metric in metrics for split in ("train", "val")}
    (series,) = charts[metrics[0], "val"].margin.series
    assert [series.value, series.upper, series.lower] == list(point)


def test_runs_are_told_apart_by_the_end_of_their_names_which_tensorboard_shows(tmp_path: Path):
    for name in ("head=plain", "head=dense512"):
        curves(tmp_path / name, ("test",)).finalize("success")
        curves(tmp_path / name, ("test",), "trials_0-1").finalize("success")
        log_answer(tmp_path / name, Final({"lr": 0.1}, {"test_accuracy/mean": 0.5}))
    runs = {path.parent.relative_to(tmp_path) for path in tmp_path.rglob("events*")}
    assert sorted(map(str, runs)) == [
        f"{name}/tensorboard/{name}{part}" for name in ("head=dense512", "head=plain")
        for part in ("", "/answer", "/trials_0-1")
    ]  # fmt: skip


def test_the_hparams_tab_has_the_answer_s_numbers_alone_and_the_keys_in_which_jobs_differ_first(tmp_path: Path):
    numbers = {"test_accuracy/mean": 0.5, "test_accuracy/mean_ci95_high": 0.65, "test_accuracy/mean_ci95_low": 0.35}
    for keep in (1, 2):
        folder = tmp_path / f"keep={keep}"
        curves(folder, ("test",)).log_metrics({"accuracy/test/mean": 0.1}, step=1)
        log_answer(folder, Final({"activation": "relu", "backbone.keep": keep, "sweep": keep == 1}, numbers, epoch=7))
        events = EventAccumulator(str(folder / "tensorboard" / folder.name / "answer")).Reload()
        assert {name: events.Scalars(name)[0].value for name in events.Tags()["scalars"]} == pytest.approx(numbers)
        assert {events.Scalars(name)[0].step for name in numbers} == {7}
    experiment = hparams_tab(tmp_path)
    assert [info.name for info in experiment.hparam_infos] == ["backbone.keep", "sweep", "activation"]
    assert [info.differs for info in experiment.hparam_infos] == [True, True, False]
    assert [info.name.tag for info in experiment.metric_infos] == list(numbers)


def hparams_tab(logdir: Path) -> Any:
    """Return what TensorBoard's own code shows in its tab."""
    multiplexer = EventMultiplexer(tensor_size_guidance={"scalars": 0}).AddRunsFromDirectory(str(logdir))
    multiplexer.Reload()
    flags = SimpleNamespace(samples_per_plugin={}, max_reload_threads=1)
    provider = MultiplexerDataProvider(multiplexer, str(logdir))
    context = Context(TBContext(logdir=str(logdir), data_provider=provider, flags=flags))
    found = context.hparams_metadata(RequestContext(), "")
    return context.experiment_from_metadata(RequestContext(), "", True, found, [])


def test_texts_and_pictures_are_read_back_and_stay_single(tmp_path: Path):
    picture = np.arange(24, dtype=np.uint8).reshape(2, 4, 3)
    log_images(tmp_path, {"training images/trial 0": picture})
    curves(tmp_path, ("test",)).finalize("success")
    forget_curves(tmp_path)
    run = tmp_path / "tensorboard" / tmp_path.name
    (event,) = EventAccumulator(str(run)).Reload().Images("training images/trial 0")
    assert np.array_equal(np.asarray(Image.open(BytesIO(event.encoded_image_string))), picture)
    assert "custom_scalars__config__" not in EventAccumulator(str(run)).Reload().Tags()["tensors"]
    for text in ("first", "*second*"):
        log_answer(tmp_path, Final(texts={"answer": text}, pictures={"confusion matrix": picture}))
    events = EventAccumulator(str(run / "answer")).Reload()
    (tensor,) = events.Tensors("answer/text_summary")
    assert tensor.tensor_proto.string_val == [b"*second*"]
    assert len(events.Images("confusion matrix")) == 1
    assert events.Tags()["scalars"] == []  # a refit has no numbers, and no row among hparams
    assert "_hparams_/session_start_info" not in events.summary_metadata
