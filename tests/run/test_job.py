"""Whole jobs, against loops of plain PyTorch."""

import os
import shutil
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image
from plain_loop import by_hand, frozen_network, scratch_network, trained
from safetensors.torch import load_file, save_file
from torch import nn

from graft.backbones.backbone import CNN, CNN5
from graft.data.dataset import MNIST5k
from graft.data.load import image_folder
from graft.data.preprocess import Preprocess
from graft.errors import GraftError
from graft.files import read_tensors
from graft.heads.head import Dense, Plain
from graft.model.layers import linear
from graft.reading.class_folders import list_folder
from graft.run.plan import Plan
from graft.stack.dropout import Masks
from graft.training import features

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


def test_class_weights_of_equal_draws_are_told_as_the_job_begins(run: Run, caplog: pytest.LogCaptureFixture):
    words = ("source=scratch", "head=dense", "width=8", "epochs=1", "trials=1", "test_curve=false")
    run(*words, "dataset.small_total=10", "class_weights=effective")
    assert "class_weights=effective has no effect: each class has equally many training images" in caplog.messages


def test_steps_of_too_few_batches_are_told_as_the_job_begins(run: Run, caplog: pytest.LogCaptureFixture):
    words = ("source=scratch", "head=dense", "width=8", "epochs=1", "trials=1", "test_curve=false", "batch_size=10")
    for accumulated, left in ((3, 1), (2, 0), (5, 0)):  # of ten batches
        caplog.clear()
        run(*words, f"trainer.accumulate_grad_batches={accumulated}", name=str(accumulated))
        said = f"={accumulated}: the training has 10 batches in an epoch, and the last step takes {left}, whose"
        assert any(said in message for message in caplog.messages) is (left > 0)


def test_trials_vary_in_their_draws_or_in_their_random_numbers(run: Callable[..., dict]):
    words = ("source=scratch", "head=dense", "width=8", "epochs=2", "trials=2", "test_curve=false", "augment=digits")
    words += ("dataset.small_per_class=3", "dataset.test_per_class=10")
    losses = {
        vary: [trial["loss"] for trial in run(*words, f"trials_vary={vary}", name=vary)["trials"]]
        for vary in ("all", "data", "init")
    }
    first, second = zip(*losses.values(), strict=True)
    assert len(set(first)) == 1
    assert len({*first, *second}) == 4


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


@pytest.mark.slow
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


@pytest.mark.parametrize("thaw", ["tune.thaw=1", "tune.thaw=[1,2]", "tune.thaw=3"])
def test_a_thawing_job_passes_each_image_through_the_frozen_stages_once(
    run: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, thaw: str
):
    words = ("backbone=cnn5", "source=file", f"source.path={tmp_path}/cnn5.pt", "source.weights=null", "logger=none")
    words = (*words, "trials=2", "epochs=1", "dropout=0", "test_curve=false", "batch_size=20")
    torch.save(CNN5(Preprocess([1, 28, 28])).state_dict(), tmp_path / "cnn5.pt")
    features._memory.clear()
    passed: list[bool] = []
    batches = features._batches
    monkeypatch.setattr(
        features, "_batches", lambda *args: passed.append(isinstance(args[1], features.Outputs)) or batches(*args)
    )
    result = run(*words, "tune=thaw", "tune.epochs=1", thaw, name="cold")
    assert passed.count(False) == 1
    shutil.rmtree(tmp_path / "cache" / "features")
    features._memory.clear()
    run(*words, "tune=frozen", name="frozen")
    assert run(*words, "tune=thaw", "tune.epochs=1", thaw, name="warm")["trials"] == result["trials"]


def test_fewer_stages_give_fewer_parameters(run: Run):
    kept = run(*QUICK, "trials=2", "epochs=1", "backbone.keep=1")
    assert kept["parameters"] == {"total": 27_365, "trainable": 27_045, "frozen": 320}  # 13x13x32 features
    none = run(*QUICK, "trials=2", "epochs=1", "backbone.keep=0", name="pixels")
    assert none["parameters"] == {"total": 3_925, "trainable": 3_925, "frozen": 0}  # 784 pixels


@pytest.mark.slow
@pytest.mark.parametrize("optimizer", ["adam", "adamw", "sgd", "rmsprop"])
def test_every_optimizer_learns(run: Run, optimizer: str):
    result = run(*QUICK, "trials=2", "epochs=4", f"optimizer={optimizer}")
    assert result["accuracy"]["mean"] > 0.5  # chance is 0.2


@pytest.mark.parametrize(
    ("flag", "message"),
    [
        ("+trainer.max_epochs=3", "trainer.max_epochs must be left out: use epochs=, got 3; try epochs=10"),
        ("+trainer.foo=1", r"trainer\.foo must be an argument of pytorch_lightning\.Trainer \(such as .*, got 1"),
        ("trainer.precision=foo", "trainer.precision must be 32-true, bf16-mixed or 16-mixed, got foo"),
        ("trainer.precision=16-mixed", "trainer.precision must be 32-true or bf16-mixed on a CPU"),
        (
            "+trainer.limit_test_batches=0.01",
            r"trainer\.limit_test_batches must be at least one of \d+ batches, got 0.01",
        ),
        ("+trainer.limit_train_batches=0.03", "trainer.limit_train_batches must be at least one of 20 batches"),
        ("+trainer.val_check_interval=26", "trainer.val_check_interval must be at most 25, the batches of an epoch"),
        ("trainer.accelerator=abacus", "Lightning refuses these trainer flags"),
    ],
)
def test_trainer_flags_that_cannot_be_are_refused(run: Run, tmp_path: Path, flag: str, message: str):
    with pytest.raises(GraftError, match=message):
        run(flag)
    assert not (tmp_path / "cache").exists()


@pytest.mark.slow
def test_a_file_under_another_name_is_found_and_another_file_under_its_name_runs_again(run: Run, tmp_path: Path):
    for seed, name in enumerate(("one", "two")):
        torch.manual_seed(seed)
        save_file(CNN(Preprocess([1, 28, 28])).state_dict(), tmp_path / f"{name}.safetensors")
    (tmp_path / "copy.safetensors").write_bytes((tmp_path / "one.safetensors").read_bytes())
    words = ("trials=1", "epochs=1", "source=file", "source.path={}/{}.safetensors")

    def at(name: str) -> dict:
        return run(*words[:-1], words[-1].format(tmp_path, name), resume=True)

    one = at("one")
    assert at("copy") == one  # found, with the configuration that made it
    (tmp_path / "one.safetensors").write_bytes((tmp_path / "two.safetensors").read_bytes())
    two = at("one")
    assert two["identity"] != one["identity"]
    assert two["trials"] != one["trials"]
    assert at("two") == two
    assert two["contents"]["files"]["source.path"] != one["contents"]["files"]["source.path"]
    assert (two["contents"]["images"], two["contents"]["classes"]) == (one["contents"]["images"], list("0123456789"))
    expected = run(*words[:-1], words[-1].format(tmp_path, "two"), f"cache={tmp_path}/other", name="fresh")
    assert two["trials"] == expected["trials"]


def test_a_data_set_that_was_copied_is_found_and_another_one_is_not_overwritten(run: Run, tmp_path: Path):
    for root, shift in (("one", 0), ("two", 40)):
        for label, name in enumerate(("cat", "dog")):
            (tmp_path / root / name).mkdir(parents=True)
            for index in range(6):
                pixels = np.random.default_rng([label, index]).integers(0, 100, (16, 16), dtype=np.uint8) + shift
                Image.fromarray(pixels).save(tmp_path / root / name / f"{index}.png")
    words = ("dataset=image_folder", "source=scratch", "dataset.size=16", "dataset.small_per_class=2", "trials=1")

    def at(root: str, name: str = "job") -> dict:
        return run(*words, "backbone.keep=0", "epochs=1", f"dataset.root={tmp_path}/{root}", name=name, resume=True)

    one = at("one")
    with pytest.raises(GraftError, match=r"another configuration \(dataset\.root differ\)"):
        at("two")
    assert at("one") == one
    other = at("two", name="other")
    assert one["contents"]["tested_on"] != other["contents"]["tested_on"]
    smaller = run(*words, "backbone.keep=0", "epochs=1", f"dataset.root={tmp_path}/one", "dataset.size=8", name="small")
    assert smaller["contents"]["images"] != one["contents"]["images"]
    assert smaller["contents"]["tested_on"] == one["contents"]["tested_on"]  # at another size: the same images, paired


def test_a_pre_training_that_diverges_leaves_no_trace_in_the_cache(run: Run, tmp_path: Path):
    with pytest.raises(GraftError, match=r"pre-training diverged: .* try source\.optimizer\.lr=0\.001"):
        run("trials=1", "epochs=1", "source.optimizer.lr=1e12")
    assert {path.suffix for path in (tmp_path / "cache").rglob("*.*")} == {".lock"}
    assert not (tmp_path / "job/result.json").exists()


@pytest.fixture
def photos(tmp_path: Path) -> Path:
    """Write class folders with 20 noisy pictures each, dark cats and bright dogs, as files of equal size."""
    random = np.random.default_rng(0)
    for name, level in (("cat", 50), ("dog", 150)):
        (tmp_path / "photos" / name).mkdir(parents=True)
        for number in range(20):
            pixels = random.integers(level, level + 100, (8, 8), dtype=np.uint8)
            path = tmp_path / "photos" / name / f"{number:02}.bmp"
            Image.fromarray(pixels).save(path)
            os.utime(path, (time.time() - 3600, time.time() - 3600))
    return tmp_path / "photos"


FOLDER = (
    "dataset=image_folder",
    "dataset.small_per_class=5",
    "backbone.keep=1",
    "source=scratch",
    "trials=2",
    "epochs=1",
)


def test_a_result_accounts_for_every_file(run: Run, photos: Path, tmp_path: Path):
    (photos / "cat" / "phone.heic").touch()
    (photos / "dog" / "99.bmp").write_bytes((photos / "dog" / "00.bmp").read_bytes())
    images = run(*FOLDER, f"dataset.root={photos}")["images"]
    assert (images["found"], images["used"]) == (42, 40)
    assert images["ignored"] == {".heic": 1, "equal to another file": 1}
    assert images["duplicates"] == {"other_part": 0, "same_part": 1, "two_classes": 0}
    assert images["by_class"]["small"] == {"cat": 5, "dog": 5}
    assert images["test"] == sum(images["by_class"]["test"].values())


def test_a_finished_job_runs_again_if_contents_have_changed_and_not_if_only_times_have(
    run: Run, photos: Path, caplog: pytest.LogCaptureFixture
):
    def again() -> dict:
        list_folder.cache_clear()  # as in a new process
        image_folder.cache_clear()
        return run(*FOLDER, f"dataset.root={photos}", resume=True)

    first = again()
    for path in photos.rglob("*.bmp"):
        path.touch()
    assert again() == first
    said = "job is finished, but not with these images"
    assert said not in caplog.text
    contents = {path: (path.read_bytes(), path.stat()) for path in photos.rglob("*.bmp")}
    for path, (_, stat) in contents.items():
        other = photos / ("dog" if path.parent.name == "cat" else "cat") / path.name
        path.write_bytes(contents[other][0])
        os.utime(path, ns=(stat.st_atime_ns, stat.st_mtime_ns))
    swapped = again()
    assert swapped["identity"] != first["identity"]
    assert swapped["trials"] != first["trials"]
    assert said in caplog.text
