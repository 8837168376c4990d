"""What a job writes for predictions; tests of `write_model` are those of its readers, tests/inference."""

from collections.abc import Callable
from pathlib import Path

import pytest
import torch

from graft.data.dataset import MNIST5k
from graft.errors import GraftError
from graft.files import read_tensors
from graft.inference.load import load
from graft.inference.model_file import MODEL, read_model_file
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


def test_no_older_description_stays_beside_new_weights(run: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    words = ("source=scratch", "epochs=1", "batch_size=50")
    run(*words, "trials=1")
    assert read_model_file(tmp_path / "job")["seeds"] == [0]

    def killed(*_: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr("graft.run.model_writer.write_text", killed)
    with pytest.raises(KeyboardInterrupt):
        run(*words, "trials=1")
    assert not (tmp_path / "job" / MODEL).exists()
    with pytest.raises(GraftError, match="run the job again"):
        read_model_file(tmp_path / "job")


@pytest.mark.filterwarnings("ignore:There is a performance drop")  # vmap runs timm's attention trial by trial
def test_lora_s_updates_are_merged_into_the_weights_that_are_written(run: Run, tmp_path: Path):
    timm = pytest.importorskip("timm")
    torch.save(timm.create_model("test_vit").state_dict(), tmp_path / "vit.pt")
    vit = ("backbone=timm", "backbone.model=test_vit", "source=file", f"source.path={tmp_path}/vit.pt")
    few = ("dataset.small_per_class=2", "dataset.test_per_class=4", "dataset.size=32", "dataset.pixels=unit")
    words = ("trials=2", "epochs=3", "lr=0.01", "tune=lora", "tune.rank=2", "tune.thaw=2", "keep_weights=all")
    result = run(*vit, *few, *words)
    # Of two blocks of width 64 qkv, 64 to 192, and proj, 64 to 64, at rank 2; and a head of 64 to 5.
    assert result["parameters"]["trainable"] == 2 * 2 * (64 + 192 + 64 + 64) + 65 * 5
    source = torch.load(tmp_path / "vit.pt")
    whole = sum(value.numel() for name, value in source.items() if not name.startswith("head."))
    assert result["parameters"]["total"] == whole + result["parameters"]["trainable"]
    saved = read_tensors(tmp_path / "job" / "weights.safetensors")
    assert saved is not None
    mlp, qkv = "blocks.5.mlp.fc1.weight", "blocks.5.attn.qkv.weight"
    stage = next(name.partition(mlp)[0] for name in saved if name.startswith("trials.") and name.endswith(mlp))
    for trial in range(2):
        assert torch.equal(saved[stage + mlp][trial], source[mlp])
        change = saved[stage + qkv][trial] - source[qkv]
        assert torch.linalg.matrix_rank(change, tol=1e-4) == 2
    model = load(tmp_path / "job")
    data = MNIST5k(big=[0, 2, 4, 6, 8], small=[1, 3, 5, 7, 9], test_per_class=4)
    classes = torch.tensor([data.small_classes.tolist().index(label) for label in data.images.labels[data.test]])
    pixels = data.images.read(data.test)
    assert isinstance(pixels, torch.Tensor)
    accuracies = (model.logits(pixels).argmax(-1) == classes).float().mean(1)
    assert [trial["accuracy"] for trial in result["trials"]] == pytest.approx(accuracies.tolist(), abs=1e-6)
