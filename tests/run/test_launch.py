"""Several ranks on the CPU, against one process; each slow test asserts that no process is left."""

import functools
import json
import os
import signal
import subprocess
import sys
import time
import uuid
from collections.abc import Callable, Iterator
from contextlib import nullcontext
from pathlib import Path

import numpy as np
import pandas
import pytest
import pytorch_lightning as pl
import torch
from conftest import ROOT
from omegaconf import DictConfig

from graft.data.augment import Distort
from graft.data.loader import AugmentedLoader, Examples, Share, StoredViewsLoader, TrainLoader, TrialLoader
from graft.errors import GraftError
from graft.files import read_tensors
from graft.ranks import all_gather, rank, world_size
from graft.results.outcomes import read_outcomes
from graft.run import job, plan
from graft.run.launch import join, launch, strategy
from graft.training import checkpoint
from graft.training.transfer import TransferModule

Run = Callable[..., dict]
TWO = ("trainer=ddp", "trainer.devices=2", "trainer.accelerator=cpu")
# Adam makes steps of the rounding errors of gradients that are almost zero: after a pre-training of 20 steps with it
# and 50 more, one weight of 36,864 differs by 0.00011.
SGD = ("optimizer=sgd", "lr=0.01", "source.optimizer._target_=torch.optim.SGD", "~source.optimizer.eps")
THAW = ("tune=thaw", "tune.thaw=1", "tune.epochs=2", "schedule=cosine", "schedule.warmup=0.1", "tune.lr_decay=0.5")
REGULARISED = (
    "regularize.label_smoothing=0.1", "regularize.clip=1", "regularize.ema=0.9", "regularize.l2_sp=0.01",
    "class_weights=balanced",
)  # fmt: skip
TINY = ("trials=2", "epochs=2", "source.epochs=1")


def processes(mark: str) -> list[int]:
    """Return the processes with a mark in their inherited environment, without multiprocessing's tracker."""
    found = []
    for folder in Path("/proc").glob("[0-9]*"):
        try:
            inherits = mark.encode() in (folder / "environ").read_bytes()
            if inherits and b"resource_tracker" not in (folder / "cmdline").read_bytes():
                found.append(int(folder.name))
        except OSError:
            continue  # ended meanwhile
    return found


@pytest.fixture
def mark(monkeypatch: pytest.MonkeyPatch) -> Iterator[str]:
    """Mark the processes that a test starts, and assert that they have ended."""
    mark = uuid.uuid4().hex
    monkeypatch.setenv("GRAFT_TEST", mark)
    yield mark
    until = time.monotonic() + 10
    while processes(mark) and time.monotonic() < until:
        time.sleep(0.1)
    assert not processes(mark)


@pytest.mark.parametrize("number", [2, 3, 8])
@pytest.mark.parametrize(("length", "batch_size"), [(100, 4), (100, 32), (101, 4), (1, 4), (10, 10)])
def test_ranks_divide_every_batch_and_weigh_their_parts(length: int, batch_size: int, number: int):
    values = torch.arange(2 * length, dtype=torch.float64)
    rows = torch.stack([torch.arange(length), torch.arange(length, 2 * length)])
    settings = (Examples(values, values.long(), rows), batch_size, [0, 1])
    whole = list(TrainLoader(*settings))
    parts = [TrainLoader(*settings, share=Share(rank, number)) for rank in range(number)]
    assert {len(part) for part in parts} == {len(whole)}
    for batch, *shares in zip(whole, *parts, strict=True):
        counts = [share.num_counted for share in shares]
        assert max(counts) - min(counts) <= 1
        together = [share.inputs[:, : share.num_counted] for share in shares]
        assert torch.equal(torch.cat(together, 1), batch.inputs)
        assert all(torch.equal(share.inputs, share.labels.double()) for share in shares)
        means = [share.inputs.mean(1) * share.weight for share in shares]
        torch.testing.assert_close(sum(means) / number, batch.inputs.mean(1))


@pytest.mark.parametrize(
    ("flags", "message"),
    [
        (
            ["trainer.devices=64", "batch_size=64"],
            "trainer.devices=64, but the CPU has .* cores, .* try trainer.devices=",
        ),
        (["batch_size=1"], "batch_size must be at least 2 with 2 devices, .*, got 1; try batch_size=2"),
        (["source.batch_size=1"], "source.batch_size must be at least 2 with 2 devices, .*, got 1"),
        (["regularize.mixup=0.2", "batch_size=3"], "batch_size must be at least 4 .* on 2 devices, .*=4"),
        (["lr=auto"], "lr must be a number with several devices, .*, or trainer=default"),
        (["head=ridge"], "trainer.devices must be 1 with head=ridge, .*; try trainer=default, or head=plain"),
        (["trainer.num_nodes=2"], "nothing has started processes on these nodes; try srun, or torchrun --nnodes=2"),
        (["trainer.strategy=ddp_spawn"], "trainer.strategy must be auto or ddp"),
        (["trainer.devices=two"], "trainer.devices must be auto, a whole number of at least 1, or a list"),
        (["+trainer.sync_batchnorm=false"], "trainer.sync_batchnorm must be left out: batch norm"),
        (
            ["backbone=cnn5", "tune=full", "tune.batch_norm=frozen"],
            "batch norm cannot be synchronized between CPU",
        ),  # when it is pre-trained
    ],
)
def test_what_ranks_cannot_do_is_refused(run: Run, tmp_path: Path, flags: list[str], message: str):
    with pytest.raises(GraftError, match=message):
        run(*TWO, *flags)
    assert not (tmp_path / "cache").exists()


@pytest.mark.skipif(torch.cuda.is_available(), reason="tells of machines without a GPU")
def test_gpus_that_are_not_there_are_refused(run: Run):
    with pytest.raises(GraftError, match="Lightning refuses these trainer flags"):
        run("trainer=ddp", "trainer.devices=2", "trainer.accelerator=gpu")


def test_ranks_vary_their_images_each_in_its_own_way_and_draw_the_same_views():
    rows, images = torch.arange(8)[None], torch.full([16, 1, 8, 8], 100.0)
    for views in (None, 2):
        if views is None:
            make = functools.partial(AugmentedLoader, Distort(noise=0.2), Examples(images, rows[0], rows), 4, [0])
        else:
            make = functools.partial(StoredViewsLoader, views, Examples(torch.arange(16.0), rows[0], rows), 4, [0])
        parts = [torch.cat([batch.inputs for batch in make(share=Share(rank, 2))], 1) for rank in (0, 1)]
        whole = torch.cat([batch.inputs for batch in make()], 1)
        if views is None:
            assert not (parts[0] == parts[1]).flatten(2).all(2).any()
        else:
            together = torch.cat([part.view(2, 2) for part in parts], 1)
            assert torch.equal(together, whole.view(2, 4))


def test_a_process_of_torchrun_that_nobody_asked_for_is_refused(run: Run, monkeypatch: pytest.MonkeyPatch):
    elastic = {"RANK": "0", "GROUP_RANK": "0", "LOCAL_RANK": "0", "LOCAL_WORLD_SIZE": "2", "WORLD_SIZE": "2"}
    for name, value in {**elastic, "TORCHELASTIC_RUN_ID": "x"}.items():
        monkeypatch.setenv(name, value)
    with pytest.raises(GraftError, match=r"torchrun started 2 processes, but trainer.devices=1"):
        run("trainer.accelerator=cpu")


def weights(folder: Path) -> dict[str, torch.Tensor]:
    tensors = read_tensors(folder / "weights.safetensors")
    assert tensors is not None
    return tensors


def history(folder: Path) -> pandas.DataFrame:
    return pandas.read_csv(folder / "history.csv")


@pytest.mark.slow
def test_two_ranks_end_each_trial_where_one_process_does(run: Run, tmp_path: Path, mark: str):
    words = (
        "trials=3",
        "epochs=12",
        "source.epochs=1",
        "source.head.dropout=0",
        "dataset.val_per_class=10",
        "dropout=0",
    )
    words = (*words, "stop.patience=1", "weights=best", "regularize.ema=0.5", *SGD, "lr=0.05")
    one = run(*words, f"cache={tmp_path}/one", name="one")
    two = run(*words, *TWO, f"cache={tmp_path}/two", name="two")
    ends = [[trial["epoch"] for trial in result["trials"]] for result in (one, two)]
    assert ends[0] == ends[1]
    assert len(set(ends[0])) > 1
    curves = [history(tmp_path / name) for name in ("one", "two")]
    assert curves[0].drop(columns="value").equals(curves[1].drop(columns="value"))
    for name, value in weights(tmp_path / "one").items():
        torch.testing.assert_close(weights(tmp_path / "two")[name], value, atol=1e-4, rtol=0)


@pytest.mark.slow
@pytest.mark.parametrize(
    "settings",
    [
        ("source=scratch", "trials=3", "batch_size=3"),  # parts of one and two images
        ("source=scratch", "trials=2", "trials_at_once=1", "batch_size=33", "dataset.val_per_class=1", "dropout=0.5"),
        ("tune.thaw=1", "trials=2", "source.epochs=1", "dropout=0.5", "head=dense512", *SGD),
        (*THAW, "trials=2", "source.epochs=1", "source.head.dropout=0", *SGD, *REGULARISED),
        ("augment=digits", "augment.views=2", "trials=2", "source.epochs=1", "source.head.dropout=0", *SGD),
    ],
)
def test_two_ranks_equal_one_process(run: Run, tmp_path: Path, mark: str, settings: tuple[str, ...]):
    flags = ("dropout=0", *settings, "epochs=2")
    one = run(*flags, f"cache={tmp_path}/one", name="one")
    two = run(*flags, *TWO, f"cache={tmp_path}/two", name="two")
    for name, value in weights(tmp_path / "one").items():
        torch.testing.assert_close(weights(tmp_path / "two")[name], value, atol=1e-4, rtol=0)
    curves = [history(tmp_path / name) for name in ("one", "two")]
    assert curves[0].drop(columns="value").equals(curves[1].drop(columns="value"))
    losses = [curve.value[curve.metric == "loss"].to_numpy() for curve in curves]
    assert losses[1] == pytest.approx(losses[0], abs=1e-4)
    assert [trial["accuracy"] for trial in two["trials"]] == pytest.approx(
        [trial["accuracy"] for trial in one["trials"]], abs=2 / 1250
    )
    assert two["identity"] == one["identity"]
    compare_outcomes(tmp_path / "one", tmp_path / "two")


def compare_outcomes(one: Path, two: Path) -> None:
    """Assert that two jobs said the same of the same images, up to rounding."""
    first, second = read_outcomes(one), read_outcomes(two)
    assert first is not None
    assert second is not None
    pandas.testing.assert_frame_equal(first.images, second.images)
    for own, other in ((first.test, second.test), (first.val, second.val)):
        if own is not None:
            assert other is not None
            assert (own.image == other.image).all()
            assert (own.prediction != other.prediction).sum() <= 2 * len(first.seeds)
            assert own.probability is not None
            assert other.probability is not None
            np.testing.assert_allclose(own.probability, other.probability, atol=5e-3)


@pytest.mark.slow
def test_two_ranks_thaw_a_network_with_held_batch_norm_as_one_process_does(run: Run, tmp_path: Path, mark: str):
    timm = pytest.importorskip("timm")
    torch.manual_seed(0)
    network = timm.create_model("tf_efficientnet_lite0")  # whose activations are in its batch norm
    network(torch.rand(8, 3, 64, 64))
    torch.save(network.state_dict(), tmp_path / "lite.pth")
    flags = (
        "backbone=efficientnet_lite0", "source=file", f"source.path={tmp_path}/lite.pth", "dataset.size=64", "epochs=1",
        "tune=thaw", "tune.epochs=2", "trials=1", "dropout=0", "dataset.test_per_class=5", "batch_size=10",
        "optimizer=sgd", "lr=0.01",
    )  # fmt: skip
    run(*flags, f"cache={tmp_path}/one", name="one")
    run(*flags, *TWO, f"cache={tmp_path}/two", name="two")
    for name, value in weights(tmp_path / "one").items():
        torch.testing.assert_close(weights(tmp_path / "two")[name], value, atol=1e-4, rtol=0)


def count_images(folder: Path) -> None:
    """Save which images each rank sees, and the gathered ones."""
    join(pl.Trainer(accelerator="cpu", devices=2, strategy=strategy(), logger=False, enable_checkpointing=False))
    rows = torch.arange(101)[None]
    batches = TrialLoader("test", Examples(rows[0], rows[0], rows), 7, share=Share(rank(), world_size()))
    own = torch.cat([batch.labels[:, : batch.num_counted] for batch in batches], 1)
    together = all_gather(own, 1)
    torch.save((own, together), folder / f"{rank()}.pt")


@pytest.mark.slow
def test_each_test_image_is_counted_once(tmp_path: Path, mark: str):
    launch(count_images, 2, tmp_path)
    (first, together), (second, same) = (torch.load(tmp_path / f"{own}.pt") for own in (0, 1))
    assert torch.equal(together, same)
    assert sorted(together[0].tolist()) == list(range(101))
    assert not set(first[0].tolist()) & set(second[0].tolist())


class Kept(TransferModule):
    """Saves the weights and the random state at the end of each rank's fit."""

    def on_fit_end(self) -> None:
        kept = Path(self.trainer.default_root_dir) / f"{rank()}.pt"
        torch.save((torch.random.get_rng_state(), self.stack.state_dict()), kept)


def keep_weights(cfg: DictConfig, folder: Path) -> None:
    plan.TransferModule = Kept
    job.run(cfg, folder)


@pytest.mark.slow
def test_ranks_end_thawing_with_the_same_weights(configure: Callable[..., DictConfig], tmp_path: Path, mark: str):
    cfg = configure(*TINY, *TWO, "tune.thaw=1", "dropout=0.5", "head=dense512")
    launch(keep_weights, 2, cfg, tmp_path)
    (random, first), (other, second) = (torch.load(tmp_path / f"{own}.pt") for own in (0, 1))
    assert not torch.equal(random, other)  # of layers that draw, such as stochastic depth
    assert first.keys() == second.keys()
    assert max(float((first[name] - second[name]).abs().max()) for name in first) == 0


class Dying(torch.optim.Adam):
    """Adam that ends rank 1 at a step, as `how` says; a later one than those of `check_optimizer`."""

    def __init__(self, params, how: str, **settings):
        super().__init__(params, **settings)
        self.how, self.last, self.steps = how, int(os.environ.get("LAST_STEP", 20)), 0

    def step(self, closure=None):
        self.steps += 1
        if self.steps == self.last and rank() == 1:
            if self.how == "killed":
                os.kill(os.getpid(), signal.SIGKILL)
            if self.how == "raises":
                raise ValueError("as it must")
            if self.how == "refuses":
                raise GraftError("it was a mistake")
        return super().step(closure)


@pytest.mark.slow
@pytest.mark.parametrize(
    ("how", "kind", "message"),
    [
        ("killed", GraftError, "rank 1 of 2 was ended by SIGKILL"),
        ("raises", RuntimeError, r"(?s)rank 1 of 2 failed:.*ValueError: as it must"),
        ("refuses", GraftError, "^it was a mistake$"),
    ],
)
def test_a_rank_that_dies_ends_the_run(run: Run, mark: str, how: str, kind: type[Exception], message: str):
    start = time.monotonic()
    with pytest.raises(kind, match=message):
        run(*TINY[:2], *TWO, "source=scratch", "optimizer._target_=test_launch.Dying", f"+optimizer.how={how}")
    assert time.monotonic() - start < 60


def write_often(cfg: DictConfig, folder: Path) -> None:
    checkpoint.CHECKPOINT_SECONDS = 0
    job.run(cfg, folder)


@pytest.mark.slow
def test_ranks_resume_where_one_was_killed(configure, tmp_path: Path, mark: str, monkeypatch: pytest.MonkeyPatch):
    dying = ("optimizer._target_=test_launch.Dying", "+optimizer.how=killed")
    cfg = configure("source=scratch", "trials=2", "epochs=4", "test_curve=false", *TWO, *dying)
    # An epoch has 25 steps: a fit killed in the third resumes with the last 50, and never reaches a 75th step.
    for name, last in (("whole", 1000), ("killed", 60), ("killed", 75)):
        (tmp_path / name).mkdir(exist_ok=True)
        monkeypatch.setenv("LAST_STEP", str(last))
        with pytest.raises(GraftError) if last == 60 else nullcontext():
            launch(write_often, 2, cfg, tmp_path / name)
    trials = [json.loads((tmp_path / name / "result.json").read_text())["trials"] for name in ("whole", "killed")]
    assert trials[0] == trials[1]
    assert not history(tmp_path / "killed").duplicated(["trial", "epoch", "split", "metric"]).any()


def start(folder: Path, *words: str) -> subprocess.Popen:
    command = [sys.executable, str(ROOT / "src" / "train.py"), *words]
    env = {
        **os.environ,
        "PYTHONPATH": os.pathsep.join([str(ROOT / "src"), str(Path(__file__).parent), str(ROOT / "tests")]),
    }
    return subprocess.Popen(command, cwd=folder, env=env, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)


@pytest.mark.slow
def test_a_sweep_gives_each_job_its_own_ranks_and_continues_after_a_dead_one(tmp_path: Path, mark: str):
    words = ("-m", "+optimizer.how=killed,first,second", "optimizer._target_=test_launch.Dying", *TINY[:2], *TWO)
    process = start(tmp_path, *words, "source=scratch", "name=sweep")
    most, until = 0, time.monotonic() + 240
    while process.poll() is None and time.monotonic() < until:
        most = max(most, len(set(processes(mark)) - {os.getpid()}))
        time.sleep(0.2)
    said, _ = process.communicate(timeout=10)
    assert process.returncode == 1, said
    assert most == 3  # the sweep, and two ranks
    folder = tmp_path / "outputs" / "sweep"
    assert set(pandas.read_csv(folder / "leaderboard.csv")["job"]) == {"+optimizer.how=first", "+optimizer.how=second"}
    assert (
        "rank 1 of 2 was ended by SIGKILL"
        in json.loads((folder / "+optimizer.how=killed/failure.json").read_text())["error"]
    )
    assert "test accuracy" in said
    for how in ("first", "second"):
        own = folder / f"+optimizer.how={how}"
        assert json.loads((own / "result.json").read_text())["choices"]["trainer"] == "ddp"


@pytest.mark.slow
@pytest.mark.parametrize("end", [signal.SIGINT, signal.SIGTERM, signal.SIGKILL])
def test_ranks_end_with_the_process_that_started_them(tmp_path: Path, mark: str, end: signal.Signals):
    process = start(tmp_path, *TWO, "source=scratch", "epochs=1000", "name=long")
    until = time.monotonic() + 120
    while not (tmp_path / "outputs/long/tensorboard").exists() and time.monotonic() < until:
        time.sleep(0.2)
    assert len(set(processes(mark)) - {os.getpid()}) == 3
    process.send_signal(end)
    said, _ = process.communicate(timeout=30)
    assert process.returncode == (-end if end == signal.SIGKILL else 128 + end)
    assert "Traceback" not in said


@pytest.mark.slow
def test_a_rank_that_gets_sigterm_alone_ends_the_job_with_one_line(tmp_path: Path, mark: str):
    process = start(tmp_path, *TWO, "source=scratch", "epochs=1000", "name=long")
    until = time.monotonic() + 120
    while not (tmp_path / "outputs/long/tensorboard").exists() and time.monotonic() < until:
        time.sleep(0.2)
    time.sleep(1)  # in the middle of a fit, where Lightning's handler would wait for the other rank
    (rank, *_) = set(processes(mark)) - {os.getpid(), process.pid}
    os.kill(rank, signal.SIGTERM)
    said, _ = process.communicate(timeout=30)
    assert process.returncode == 1
    assert "of 2 was ended by SIGTERM; try the same command again" in said
    assert "Traceback" not in said


@pytest.mark.slow
def test_ranks_that_torchrun_starts_write_once(tmp_path: Path, mark: str):
    command = [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc-per-node=2"]
    script = [str(ROOT / "src" / "train.py"), *TINY[:2], *TWO, "source=scratch", "name=run"]
    done = subprocess.run([*command, *script], cwd=tmp_path, capture_output=True, text=True, timeout=240, check=False)
    assert done.returncode == 0, done.stderr
    assert done.stdout.count("test accuracy") == 1
    refused = subprocess.run(
        [*command, str(ROOT / "src" / "train.py"), "-m", "lr=0.1,0.2", *TWO],
        cwd=tmp_path, capture_output=True, text=True, timeout=240, check=False,
    )  # fmt: skip
    assert refused.returncode != 0
    assert "torchrun would run the whole sweep in each of its processes" in refused.stderr


@pytest.mark.slow
def test_steps_that_accumulate_equal_larger_batches(run: Run, tmp_path: Path):
    settings = ("source=scratch", "dropout=0", "epochs=2", "trials=2")
    run(*settings, "batch_size=10", name="large")
    run(*settings, "batch_size=5", "trainer.accumulate_grad_batches=2", name="small")
    for name, value in weights(tmp_path / "large").items():
        torch.testing.assert_close(weights(tmp_path / "small")[name], value, atol=1e-4, rtol=0)


@pytest.mark.slow
@pytest.mark.parametrize("settings", [("tune.thaw=1",), ("trials_at_once=1", "tune=full")])
def test_mixed_precision_learns(run: Run, settings: tuple[str, ...]):
    full, mixed = (
        run(*TINY[::2], "epochs=8", "dropout=0", *settings, f"trainer.precision={precision}", name=precision)
        for precision in ("32-true", "bf16-mixed")
    )
    assert mixed["accuracy"]["mean"] == pytest.approx(full["accuracy"]["mean"], abs=0.03)
    assert mixed["trials"] != full["trials"]
