"""The programs of docs/callbacks.md and docs/lightning.md, run as they are written."""

import logging
import re
import sys
from collections.abc import Callable
from pathlib import Path
from types import ModuleType

import pytest
import torch
from conftest import ROOT
from omegaconf import DictConfig
from torch.utils.data import DataLoader

from graft.errors import ConfigError
from graft.run.make_plan import make_plan

Run = Callable[..., dict]
SMALL = ("trials=3", "epochs=3", "source.epochs=1", "dataset.val_per_class=5", "val_every=1")


def blocks(page: str) -> list[str]:
    return re.findall(r"^```python\n(.*?)^```", (ROOT / "docs" / page).read_text(), re.MULTILINE | re.DOTALL)


@pytest.fixture
def typed(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """Install the page's module, and return the keys that the page types for it."""
    (code,) = blocks("callbacks.md")
    module = ModuleType("first_above")
    exec(code, vars(module))
    monkeypatch.setitem(sys.modules, "first_above", module)
    command = re.findall(r"python src/train\.py (.+)", (ROOT / "docs" / "callbacks.md").read_text())[0]
    return [word for word in command.split() if word.startswith("+callbacks")]


@pytest.mark.slow
@pytest.mark.parametrize("at_once", ["auto", "1"])
def test_a_callback_of_one_s_own_sees_each_trial(
    run: Run, typed: list[str], caplog: pytest.LogCaptureFixture, at_once: str
):
    caplog.set_level(logging.INFO, "graft")
    result = run(*SMALL, *(word.replace("0.8", "0.0") for word in typed), f"trials_at_once={at_once}")
    said = [message for message in caplog.messages if message.startswith("seed")]
    assert said == [f"seed {trial}: epoch 1" for trial in range(3)]
    assert result["config"]["callbacks"] == {"first": {"_target_": "first_above.FirstAbove", "accuracy": 0.0}}
    caplog.clear()
    run(*SMALL, *(word.replace("0.8", "1.1") for word in typed), name="other")
    assert "seed 0: epoch none" in caplog.messages


@pytest.mark.parametrize(
    ("words", "fault"),
    [
        (["+callbacks.x._target_=first_above.FirstAbov"], r"callbacks\.x\._target_.*FirstAbove"),
        (["+callbacks.x._target_=first_above.FirstAbove", "+callbacks.x.speed=1"], r"callbacks\.x\.speed"),
        (["+callbacks.x._target_=collections.Counter"], r"callbacks\.x\._target_ must be a class of pytorch_lightning"),
        (["+callbacks.x=5"], r"callbacks must be options with a _target_ each"),
    ],
)
def test_what_is_no_callback_is_refused_before_training(
    configure: Callable[..., DictConfig], typed: list[str], words: list[str], fault: str
):
    assert typed
    with pytest.raises(ConfigError, match=fault):
        make_plan(configure(*words))


def test_the_lightning_program_runs_as_written(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
):
    monkeypatch.chdir(tmp_path)
    program, own = blocks("lightning.md")
    names: dict = {}
    exec(program.replace("Big(5,", "Big(1,").replace("max_epochs=10", "max_epochs=4"), names)
    transfer = names["transfer"]
    assert [type(each).__name__ for each in names["trainer"].callbacks][:3] == ["Freeze", "Unfreeze", "TrialEnds"]
    assert transfer.record.final(transfer.epoch, "test", "accuracy").min() > 0.5
    assert "one trial's weights {'stages.stage2.0.weight': " in capsys.readouterr().out
    assert not any(parameter.requires_grad for parameter in transfer.frozen.parameters())
    exec(own.partition("classifier = Classifier()")[0], names)
    classifier, freeze = names["Classifier"](), names["Freeze"]
    before = {name: value.clone() for name, value in classifier.backbone.state_dict().items()}
    head = classifier.head.weight.clone()
    batches = DataLoader([(torch.rand(8, 1, 8, 8), torch.arange(8) % 2) for _ in range(4)], batch_size=None)  # type: ignore[arg-type]
    names["make_trainer"](max_epochs=2, callbacks=[freeze("backbone")], enable_checkpointing=False).fit(
        classifier.train(), batches
    )
    assert all(torch.equal(value, before[name]) for name, value in classifier.backbone.state_dict().items())
    assert not torch.equal(classifier.head.weight, head)
    exec(own.partition("classifier = Classifier()")[2], names | {"classifier": classifier})
    assert not all(torch.equal(value, before[name]) for name, value in classifier.backbone.state_dict().items())
