"""What a job writes for predictions; tests of `write_model` are those of its readers, tests/inference."""

from collections.abc import Callable
from pathlib import Path

import torch

from graft.inference.load import load
from graft.inference.novelty import NOVELTY, read_novelty

Run = Callable[..., dict]


def test_without_frozen_layers_there_is_no_novelty_and_a_trial_run_changes_nothing(run: Run, tmp_path: Path):
    (tmp_path / "job").mkdir()
    (tmp_path / "job" / NOVELTY).write_text("of an earlier run")
    words = ("source=scratch", "epochs=1", "trials=1", "batch_size=50")
    run(*words, "+trainer.max_steps=1")
    assert (tmp_path / "job" / NOVELTY).read_text() == "of an earlier run"
    run(*words)
    assert not (tmp_path / "job" / NOVELTY).exists()


def test_augmented_training_images_are_known_as_they_are(run: Run, tmp_path: Path):
    words = ("augment=digits", "epochs=1", "trials=2", "source.epochs=1", "batch_size=50", "dataset.draw=first")
    result = run(*words)
    known = read_novelty(tmp_path / "job", 1)
    assert len(known.known) == result["images"]["small"]
    assert (tmp_path / "job" / NOVELTY).stat().st_size < 2_000_000
    model = load(tmp_path / "job")
    pixels = torch.zeros(1, *model.image_shape, dtype=torch.uint8)
    assert known.scores(model.features(pixels)).item() > 0
    run(*words, "keep_weights=none", name="none")
    assert not (tmp_path / "none" / NOVELTY).exists()
