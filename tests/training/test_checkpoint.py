"""A killed fit goes on from its checkpoint, to the numbers of an undisturbed one."""

from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

from graft.files import read_tensors
from graft.job_folder import IMAGES, OUTCOMES
from graft.training import checkpoint
from graft.training.progress import Progress

Run = Callable[..., dict]
TINY = ("trials=3", "epochs=6", "val_every=2", "source.epochs=3", "dropout=0.5", "dataset.val_per_class=10")


class Killed(BaseException):
    """Stands for a signal: nothing catches it."""


def killing(monkeypatch: pytest.MonkeyPatch, label: str, epoch: int) -> list[int]:
    """Kill fits of a label as they begin an epoch, counted from 0; return the list of epochs that were begun."""
    begun = []
    original = Progress.on_train_epoch_start

    def start(self, trainer, pl_module):
        if self.label == label:
            begun.append(trainer.current_epoch)
            if trainer.current_epoch == epoch:
                raise Killed
        original(self, trainer, pl_module)

    monkeypatch.setattr(Progress, "on_train_epoch_start", start)
    return begun


@pytest.mark.parametrize(
    ("label", "epoch", "begun", "overrides"),
    [
        ("pre-train", 2, [2], ()),
        ("trials 0 to 2", 4, [4, 5], ()),
        pytest.param("trial 1", 4, [4, 5], ("trials_at_once=1",), marks=pytest.mark.slow),
        pytest.param(
            "phase 2, trials 0 to 2",
            1,
            [1, 2],
            ("tune=thaw", "tune.epochs=3", "regularize.ema=0.9", "augment=digits", "lr=auto", "tune.lr=auto"),
            marks=pytest.mark.slow,
        ),
        pytest.param(
            "phase 2, trial 1",
            2,
            [2, 3],
            (
                "tune=thaw",
                "tune.epochs=9",
                "trials_at_once=1",
                "stop.patience=3",
                "stop.min_delta=9",
                "weights=best",
                "regularize.ema=0.5",
            ),
            marks=pytest.mark.slow,
        ),
        ("trials 0 to 2", 5, [5, 6], ("stop.patience=2", "lr=0.003", "epochs=16")),  # one trial is held before
    ],
)
def test_a_killed_fit_goes_on_to_the_same_result(
    run: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, label: str, epoch: int, begun: list[int], overrides
):
    expected = run(*TINY, *overrides, f"cache={tmp_path}/other")
    monkeypatch.setattr(checkpoint, "CHECKPOINT_SECONDS", 0)
    with monkeypatch.context() as patch:
        killing(patch, label, epoch)
        with pytest.raises(Killed):
            run(*TINY, *overrides, name="killed")
    assert list(tmp_path.rglob("*.ckpt"))
    assert not (tmp_path / "killed" / "result.json").exists()
    pretrained = list((tmp_path / "cache" / "pretrained").glob("*.safetensors"))
    assert len(pretrained) == (label != "pre-train")  # nothing that another job would take for whole
    seen = killing(monkeypatch, label, -1)
    result = run(*TINY, *overrides, name="killed")
    assert seen == begun
    assert (result["trials"], result["lr"]) == (expected["trials"], expected["lr"])
    first, second = (read_tensors(tmp_path / name / "weights.safetensors") for name in ("job", "killed"))
    assert first is not None
    assert second is not None
    assert not [name for name in first if not torch.equal(first[name], second[name])]
    assert (tmp_path / "job/history.csv").read_text() == (tmp_path / "killed/history.csv").read_text()
    for name in (OUTCOMES, IMAGES):
        assert (tmp_path / "job" / name).read_bytes() == (tmp_path / "killed" / name).read_bytes()
    assert not list(tmp_path.rglob("*.ckpt"))
    drawn = [steps(tmp_path / name / "tensorboard" / name) for name in ("job", "killed")]
    assert drawn[0] == drawn[1]


def test_so_does_one_with_an_optimizer_of_the_user_s_own(
    run: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, edit: Callable[[str], None]
):
    edit(
        "import torch\nclass Momentum(torch.optim.Optimizer):\n  def __init__(self, params, lr):\n"
        "    super().__init__(params, {'lr': lr})\n  @torch.no_grad()\n  def step(self, closure=None):\n"
        "    loss = None if closure is None else torch.enable_grad()(closure)()\n"
        "    for group in self.param_groups:\n      for p in group['params']:\n        state = self.state[p]\n"
        "        state['sum'] = 0.9 * state.get('sum', 0) + p.grad\n"
        "        p.sub_(state['sum'], alpha=group['lr'])\n    return loss\n"
    )
    unused = [f"~optimizer.{key}" for key in ("betas", "eps", "weight_decay", "fused")]
    words = (*TINY, "optimizer._target_=ours.Momentum", *unused)
    expected = run(*words)
    monkeypatch.setattr(checkpoint, "CHECKPOINT_SECONDS", 0)
    with monkeypatch.context() as patch:
        killing(patch, "trials 0 to 2", 4)
        with pytest.raises(Killed):
            run(*words, name="killed")
    begun = killing(monkeypatch, "trials 0 to 2", -1)
    assert run(*words, name="killed")["trials"] == expected["trials"]
    assert begun == [4, 5]


def with_older_names(stored: dict) -> None:
    stored["state_dict"] = {f"older.{name}": value for name, value in stored["state_dict"].items()}


def of_a_gpu(stored: dict) -> None:
    """Make random states that are not the CPU's: a CUDA generator's state has 16 bytes."""
    state = torch.zeros(16, dtype=torch.uint8)
    stored["graft"]["device"] = "cuda"
    for of_rank in stored["graft"]["ranks"]:
        of_rank |= {"random_gpu": state, "generators": [state for _ in of_rank["generators"]]}


@pytest.mark.parametrize("change", [of_a_gpu, pytest.param(with_older_names, marks=pytest.mark.slow)])
def test_a_checkpoint_that_cannot_be_continued_is_not_used(
    run: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture, change: Callable
):
    expected = run(*TINY, f"cache={tmp_path}/other")
    monkeypatch.setattr(checkpoint, "CHECKPOINT_SECONDS", 0)
    with monkeypatch.context() as patch:
        killing(patch, "trials 0 to 2", 4)
        with pytest.raises(Killed):
            run(*TINY, name="killed")
    (path,) = (tmp_path / "killed").rglob("*.ckpt")
    stored = torch.load(path, weights_only=True)
    change(stored)
    torch.save(stored, path)
    begun = killing(monkeypatch, "trials 0 to 2", -1)
    assert run(*TINY, name="killed")["trials"] == expected["trials"]
    assert begun[0] == 0
    assert ("interrupted on cuda, and begins again on cpu" in caplog.text) == (change is of_a_gpu)


def steps(folder: Path) -> dict[str, list[int]]:
    events = EventAccumulator(str(folder)).Reload()
    return {tag: [event.step for event in events.Scalars(tag)] for tag in events.Tags()["scalars"]}


@pytest.mark.slow
def test_another_configuration_s_checkpoint_is_not_taken(run: Run, monkeypatch: pytest.MonkeyPatch):
    expected = run(*TINY, "lr=0.01")
    monkeypatch.setattr(checkpoint, "CHECKPOINT_SECONDS", 0)
    with monkeypatch.context() as patch:
        killing(patch, "trials 0 to 2", 4)
        with pytest.raises(Killed):
            run(*TINY, name="killed")
    assert run(*TINY, "lr=0.01", name="killed")["trials"] == expected["trials"]
