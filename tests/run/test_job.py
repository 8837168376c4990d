"""Whole jobs, against loops of plain PyTorch."""

from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from plain_loop import by_hand, frozen_network, scratch_network, trained
from safetensors.torch import load_file
from torch import nn

from graft.data.dataset import MNIST5k
from graft.errors import GraftError
from graft.files import read_tensors
from graft.model.dropout import Masks
from graft.model.head import Dense, Plain
from graft.model.layers import linear
from graft.run.plan import Plan

Run = Callable[..., dict]
QUICK = ("source.epochs=1", "dropout=0")


@pytest.mark.parametrize(
    ("option", "head"), [("plain", lambda: Plain(1600, 5)), ("dense512", lambda: Dense(1600, 5, [512]))]
)
def test_heads_on_stored_features_equal_a_plain_loop(
    run: Run, tmp_path: Path, digits: MNIST5k, option: str, head: Callable[[], nn.Module]
):
    stacked = run(*QUICK, f"head={option}", "epochs=2", name="stacked")
    run(*QUICK, f"head={option}", "epochs=2", "seed=7", "trials=1", name="alone")
    network, accuracy = by_hand(digits, 7, frozen_network(tmp_path / "cache", 7, head), epochs=2)
    for name, value in network[2].state_dict().items():
        weights = trained(tmp_path / "stacked")[f"head.{name}"][7]
        torch.testing.assert_close(weights, value, atol=1e-4, rtol=0)
        torch.testing.assert_close(trained(tmp_path / "alone")[f"head.{name}"][0], value, atol=1e-4, rtol=0)
    assert stacked["trials"][7]["accuracy"] == pytest.approx(accuracy, abs=0.01)
    assert len(stacked["trials"]) == 15


def test_the_whole_cnn_equals_a_plain_loop(run: Run, tmp_path: Path, digits: MNIST5k, way: str):
    overrides = ("source=scratch", "dropout=0", "epochs=2", "test_curve=false")
    stacked = run(*overrides, "trials=4", name="stacked")
    run(*overrides, "trials=1", "seed=3", name="alone")
    network, accuracy = by_hand(digits, 3, scratch_network(3), epochs=2)
    plain = {
        **{f"stages.stage{int(name[0]) + 1}{name[1:]}": value for name, value in network[0].state_dict().items()},
        **{f"head.{name}": value for name, value in network[2].state_dict().items()},
    }
    assert plain.keys() == trained(tmp_path / "stacked").keys()
    for name, value in plain.items():
        torch.testing.assert_close(trained(tmp_path / "stacked")[name][3], value, atol=1e-4, rtol=0)
        torch.testing.assert_close(trained(tmp_path / "alone")[name][0], value, atol=1e-4, rtol=0)
    assert stacked["trials"][3]["accuracy"] == pytest.approx(accuracy, abs=0.01)


@pytest.mark.slow
def test_whole_runs_agree_to_a_point(run: Run, tmp_path: Path, digits: MNIST5k):
    for option, head in (("plain", lambda: Plain(1600, 5)), ("dense512", lambda: Dense(1600, 5, [512]))):
        stacked = run("dropout=0", f"head={option}", name=f"stacked-{option}")
        alone = run("dropout=0", f"head={option}", "seed=7", "trials=1", name=f"alone-{option}")
        _, accuracy = by_hand(digits, 7, frozen_network(tmp_path / "cache", 7, head), epochs=100)
        assert stacked["trials"][7]["accuracy"] == pytest.approx(accuracy, abs=0.01)
        assert alone["trials"][0]["accuracy"] == pytest.approx(accuracy, abs=0.01)
    stacked = run("source=scratch", "dropout=0", "test_curve=false", name="stacked-cnn")
    alone = run("source=scratch", "dropout=0", "test_curve=false", "seed=7", "trials=1", name="alone-cnn")
    _, accuracy = by_hand(digits, 7, scratch_network(7), epochs=100)
    assert stacked["trials"][7]["accuracy"] == pytest.approx(accuracy, abs=0.01)
    assert alone["trials"][0]["accuracy"] == pytest.approx(accuracy, abs=0.01)


def test_trials_one_at_a_time_equal_the_stack(run: Run, tmp_path: Path):
    together = run(*QUICK, "trials=3", "epochs=2", name="together")
    apart = run(*QUICK, "trials=3", "epochs=2", "trials_at_once=1", name="apart")
    for name, value in trained(tmp_path / "together").items():
        torch.testing.assert_close(trained(tmp_path / "apart")[name], value, atol=1e-5, rtol=0)
    accuracies = [[trial["accuracy"] for trial in result["trials"]] for result in (together, apart)]
    assert accuracies[0] == pytest.approx(accuracies[1], abs=0.01)


ALL_RANDOM = (
    "source.epochs=1", "tune=thaw", "tune.epochs=1", "epochs=2", "head=dense512", "head.widths=[16]", "dropout=0.5",
    "head.input_dropout=0.2", "augment=digits", "augment.erase=0.5", "augment.noise=0.1", "regularize.mixup=0.2",
    "regularize.cutmix=0.5", "dataset.small_per_class=4", "batch_size=8", "test_curve=false", "optimizer=sgd",
)  # fmt: skip


@pytest.mark.parametrize(
    "settings",
    [
        ("dropout=0.5", "source.epochs=1", "epochs=2", "test_curve=false"),
        ALL_RANDOM,
        pytest.param((*ALL_RANDOM, "augment.views=2", "regularize.cutmix=0"), marks=pytest.mark.slow),
        pytest.param(("source=scratch", "epochs=1", "augment=randaug", "batch_size=20"), marks=pytest.mark.slow),
    ],
)
def test_a_trial_s_numbers_do_not_depend_on_its_neighbors(run: Run, tmp_path: Path, settings: tuple[str, ...]):
    four = run(*settings, "trials=4", name="four")
    others = [(0, "trials=4", "trials_at_once=3"), (0, "trials=2", "trials_at_once=1"), (1, "trials=1", "seed=1")]
    for number, (first, *way) in enumerate(others):
        result = run(*settings, *way, name=f"way{number}")
        trials = slice(first, first + len(result["trials"]))
        for name, weights in trained(tmp_path / f"way{number}").items():
            torch.testing.assert_close(weights, trained(tmp_path / "four")[name][trials], atol=1e-5, rtol=0)
        for trial, expected in zip(result["trials"], four["trials"][trials], strict=True):
            assert trial["seed"] == expected["seed"]
            assert trial["accuracy"] == pytest.approx(expected["accuracy"], abs=2 / 1250)


def test_a_trial_s_numbers_do_not_depend_on_others_that_fail(run: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    settings = ("dropout=0.5", "source.epochs=1", "epochs=2", "test_curve=false", "trials=3")
    expected = run(*settings, name="all")
    network = Plan.network

    def failing(plan: Plan, seed: int, *args) -> nn.Module:
        made = network(plan, seed, *args)
        if seed == 1:
            nn.init.constant_(next(made.parameters()), float("nan"))
        return made

    monkeypatch.setattr(Plan, "network", failing)
    result = run(*settings, name="failing")
    assert "error" in result["trials"][1]
    assert [result["trials"][trial] for trial in (0, 2)] == [expected["trials"][trial] for trial in (0, 2)]


def test_dropout_equals_a_plain_loop_with_the_same_masks(run: Run, tmp_path: Path, digits: MNIST5k):
    run("source.epochs=1", "dropout=0.5", "epochs=2", "trials=3", "seed=5", "test_curve=false")
    masks = Masks([7])
    key = masks.keys(torch.device("cpu"))[0]

    class Masked(nn.Module):
        def __init__(self):
            super().__init__()
            self.output = linear(1600, 5)

        def forward(self, x):
            if torch.is_grad_enabled():
                x = x * masks.masked(lambda: masks.next(0.5, x), len(x))(key)
                masks.steps += 1
            return self.output(x)

    network, _ = by_hand(digits, 7, frozen_network(tmp_path / "cache", 7, Masked), epochs=2)
    weight = network.get_parameter("2.output.weight")
    torch.testing.assert_close(trained(tmp_path / "job")["head.1.weight"][2], weight, atol=1e-4, rtol=0)


@pytest.mark.parametrize("at_once", ["auto", "1"])
def test_dropout_goes_on_after_a_validation(run: Run, at_once: str):
    settings = ("trials=2", "epochs=4", "source.epochs=1", "dropout=0.5", f"trials_at_once={at_once}")
    often, once = (run(*settings, f"val_every={every}", name=f"every{every}") for every in (1, 4))
    assert [trial["loss"] for trial in often["trials"]] == [trial["loss"] for trial in once["trials"]]


def test_tuning_the_whole_pretrained_backbone_starts_from_its_weights(run: Run, tmp_path: Path):
    run(*QUICK, "trials=2", "epochs=1", "tune=full", "lr=1e-9")
    (path,) = (tmp_path / "cache" / "pretrained").glob("*.safetensors")
    pretrained = load_file(path)["stages.1.0.weight"]
    for weights in trained(tmp_path / "job")["stages.stage2.0.weight"]:
        torch.testing.assert_close(weights, pretrained, atol=1e-5, rtol=0)


def test_thawing_the_last_stage_keeps_the_first(run: Run, tmp_path: Path):
    result = run(*QUICK, "trials=2", "epochs=1", "tune.thaw=1")
    assert result["parameters"] == {"total": 26_821, "trainable": 26_501, "frozen": 320}
    (path,) = (tmp_path / "cache" / "pretrained").glob("*.safetensors")
    saved = read_tensors(tmp_path / "job" / "weights.safetensors")
    assert saved is not None
    assert torch.equal(saved["frozen.stage1.0.weight"], load_file(path)["stages.0.0.weight"])
    assert not torch.equal(saved["trials.stages.stage2.0.weight"][0], load_file(path)["stages.1.0.weight"])


def test_fewer_stages_give_fewer_parameters(run: Run):
    kept = run(*QUICK, "trials=2", "epochs=1", "backbone.keep=1")
    assert kept["parameters"] == {"total": 27_365, "trainable": 27_045, "frozen": 320}  # 13x13x32 features
    none = run(*QUICK, "trials=2", "epochs=1", "backbone.keep=0", name="pixels")
    assert none["parameters"] == {"total": 3_925, "trainable": 3_925, "frozen": 0}  # 784 pixels


@pytest.mark.parametrize("optimizer", ["adam", "adamw", "sgd", "rmsprop"])
def test_every_optimizer_learns(run: Run, optimizer: str):
    result = run(*QUICK, "trials=2", "epochs=4", f"optimizer={optimizer}")
    assert result["accuracy"]["mean"] > 0.5  # chance is 0.2


@pytest.mark.parametrize(
    ("flag", "message"),
    [
        ("+trainer.max_epochs=3", "trainer.max_epochs must be left out, because Graft sets it, got 3; try epochs="),
        ("+trainer.foo=1", r"trainer\.foo must be an argument of pytorch_lightning\.Trainer \(such as .*, got 1"),
        ("trainer.precision=foo", "Lightning refuses these trainer flags: Precision 'foo' is invalid"),
        ("trainer.accelerator=abacus", "Lightning refuses these trainer flags"),
    ],
)
def test_trainer_flags_that_cannot_be_are_refused(run: Run, tmp_path: Path, flag: str, message: str):
    with pytest.raises(GraftError, match=message):
        run(flag)
    assert not (tmp_path / "cache").exists()


def test_a_trainer_flag_may_end_the_training_early(run: Run):
    result = run(*QUICK, "trials=2", "epochs=5", "+trainer.max_steps=50")
    assert {trial["epoch"] for trial in result["trials"]} == {2}
