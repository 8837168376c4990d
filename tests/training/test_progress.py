import io
from types import SimpleNamespace

import pytest
import pytorch_lightning as pl
import torch
from torch.utils.data import DataLoader

from graft import bars
from graft.training.progress import Progress


class Module(pl.LightningModule):
    """Two trials whose training accuracy is known."""

    def __init__(self, fails: bool = False):
        super().__init__()
        self.weight, self.fails = torch.nn.Parameter(torch.zeros(1)), fails
        self.history: dict[tuple[str, str, int], torch.Tensor] = {}

    def training_step(self, batch: torch.Tensor, batch_idx: int) -> torch.Tensor:
        if self.fails:
            raise RuntimeError("no memory left")
        return self.weight.square().sum()

    def on_train_epoch_end(self) -> None:
        self.history["train", "accuracy", self.current_epoch + 1] = torch.tensor([0.5, 0.75])

    def configure_optimizers(self) -> torch.optim.Optimizer:
        return torch.optim.SGD(self.parameters(), lr=0.1)


def fit(module: Module, later: float = 0.0) -> Progress:
    callback = Progress("phase 1, trials 0 to 1", later)
    trainer = pl.Trainer(
        max_epochs=2, accelerator="cpu", callbacks=[callback], logger=False, enable_checkpointing=False,
        enable_progress_bar=False, enable_model_summary=False,
    )  # fmt: skip
    trainer.fit(module, DataLoader(torch.zeros(3, 1), batch_size=1))  # type: ignore[arg-type]
    return callback


@pytest.fixture
def terminal(monkeypatch: pytest.MonkeyPatch) -> io.StringIO:
    """Take what the bars write, as a terminal would."""
    written = io.StringIO()
    monkeypatch.setattr(written, "isatty", lambda: True)
    monkeypatch.setattr(bars, "sys", SimpleNamespace(stderr=written))
    return written


def test_the_bar_counts_all_steps_and_shows_the_training_accuracy(terminal: io.StringIO):
    callback = fit(Module())
    last = terminal.getvalue().split("\r")[-1]
    assert "phase 1, trials 0 to 1: 100%" in last
    assert "6/6" in last
    assert "epoch=2, train_accuracy=62.5 %" in last
    assert callback.bar.done == callback.bar.total == 6


def test_no_bar_is_written_where_bars_are_hidden(terminal: io.StringIO, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(bars, "hidden_bars", lambda: True)
    fit(Module())
    assert terminal.getvalue() == ""


def test_a_fit_that_fails_closes_its_bar(terminal: io.StringIO):
    with pytest.raises(RuntimeError, match="no memory left"):
        fit(Module(fails=True))
    assert terminal.getvalue().endswith("\n")


def test_the_time_left_for_all_trials_counts_those_that_train_later(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
):
    """Six steps of 20 s, and twice as many afterwards: after the second 80 s are left of this fit, 320 s of all."""
    now = [0.0]
    monkeypatch.setattr(bars, "clock", lambda: now[0])
    monkeypatch.setattr("graft.training.progress.time", SimpleNamespace(monotonic=lambda: now[0]))
    monkeypatch.setattr(bars, "sys", SimpleNamespace(stderr=io.StringIO()))
    step = Module.training_step

    def slow(self: Module, batch: torch.Tensor, batch_idx: int) -> torch.Tensor:
        now[0] += 20
        return step(self, batch, batch_idx)

    monkeypatch.setattr(Module, "training_step", slow)
    caplog.set_level("INFO", "graft")
    fit(Module(), later=2.0)
    lines = [record.message for record in caplog.records if record.name == "graft"]
    assert lines[0] == "phase 1, trials 0 to 1: 2 of 6 steps, 80 s left, all trials 5 min left"
