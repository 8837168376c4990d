from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import torch
from plain_loop import scratch_network
from torch import nn

from graft.data.dataset import MNIST5k
from graft.data.images import InMemoryImages
from graft.errors import GraftError
from graft.run.lr_finder import find_lr, suggest_lr
from graft.seed import generator

Run = Callable[..., dict]
QUICK = ("dropout=0", "test_curve=false", "trials=2", "epochs=1", "dataset.test_per_class=5")
RATES = np.geomspace(1e-6, 10, 100)


def valley(bottom: float) -> np.ndarray:
    return 2 - 1.5 * np.exp(-(np.log10(RATES / bottom) ** 2))


@pytest.mark.parametrize("bottom", [1e-3, 0.02, 0.5])
def test_the_rate_is_a_tenth_of_the_valley_s_whatever_comes_behind_it(bottom: float):
    assert suggest_lr(valley(bottom)) == pytest.approx(bottom / 10, rel=0.2)
    for end in (1e6, np.inf, np.nan):
        assert suggest_lr(np.where(8 * bottom > RATES, valley(bottom), end)) == pytest.approx(bottom / 10, rel=0.4)
    noise = np.random.default_rng(0).normal(0, 0.1, 100)
    assert suggest_lr(valley(bottom) + noise) == pytest.approx(bottom / 10, rel=0.8)


@pytest.mark.parametrize("losses", [np.full(100, 1.6), np.full(100, np.nan), np.where(RATES < 0.01, 1.6, 9.0)])
def test_a_loss_that_never_falls_is_refused(losses: np.ndarray):
    with pytest.raises(GraftError, match=r"lr=auto: no rate lowers the loss, .* at first; try lr=0.001"):
        suggest_lr(losses)


def by_hand(digits: MNIST5k, seed: int, lr_decay: float) -> list[float]:
    """Return the losses of a range test of one trial, as anyone would write it."""
    assert isinstance(digits.images, InMemoryImages)
    pixels, labels = digits.images.pixels.float() / 255, digits.images.labels // 2
    network, (train, _), order = scratch_network(seed), digits.sample(seed), generator(seed, "order")
    stages: Any = network[0]
    shares = [(stages[0], lr_decay), (stages[1], 1), (network[2], 1)]
    optimizer = torch.optim.Adam([{"params": part.parameters(), "share": share} for part, share in shares], eps=1e-7)
    losses = []
    while len(losses) < 100:
        for batch in train[torch.randperm(len(train), generator=order)].split(4):
            for group in optimizer.param_groups:
                group["lr"] = group["share"] * RATES[len(losses)]
            loss = nn.functional.cross_entropy(network(pixels[batch]), labels[batch])
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
            losses.append(loss.item())
            if len(losses) == 100:
                break
    return losses


@pytest.mark.slow
def test_all_trials_share_the_rate_of_a_test_that_leaves_nothing_behind(
    run: Run, caplog: pytest.LogCaptureFixture, digits: MNIST5k
):
    settings = (*QUICK, "source=scratch", "tune=full", "tune.lr_decay=0.1")
    rate = suggest_lr(np.mean([by_hand(digits, seed, 0.1) for seed in (0, 1)], 0))
    caplog.set_level("INFO", "graft")
    found = run(*settings, "lr=auto", name="auto")
    assert found["lr"] == [pytest.approx(rate, rel=0.2)]
    assert f"lr=auto: phase 1 has lr={found['lr'][0]:g}" in caplog.messages
    alone = run(*settings, "lr=auto", "trials_at_once=1", name="alone")
    assert alone["lr"] == [pytest.approx(rate, rel=0.2)]
    assert found["trials"] == run(*settings, f"lr={found['lr'][0]}", name="typed")["trials"]


@pytest.mark.slow
def test_a_rate_is_tested_for_steps_of_several_batches(run: Run):
    settings = (*QUICK, "source=scratch", "backbone.keep=0", "lr=auto")
    whole = run(*settings, "batch_size=100", name="whole")
    accumulated = run(*settings, "batch_size=4", "trainer.accumulate_grad_batches=25", name="accumulated")
    assert accumulated["lr"] == whole["lr"]


@pytest.mark.slow
def test_each_phase_finds_its_own_rate(run: Run):
    settings = (*QUICK, "source.epochs=1", "tune=thaw", "tune.epochs=1")
    found = run(*settings, "lr=auto", "tune.lr=auto", name="auto")
    head, unfrozen = found["lr"]
    assert head != unfrozen
    typed = run(*settings, f"lr={head}", f"tune.lr={unfrozen}", name="typed")
    assert typed["lr"] == [head, unfrozen]
    assert typed["trials"] == found["trials"]


def test_a_fit_that_goes_on_keeps_its_rate(tmp_path: Path):
    (tmp_path / "lr.json").write_text("0.02")
    run = SimpleNamespace(planned=SimpleNamespace(index=0))  # nothing else is needed
    assert find_lr(run, tmp_path / "lr.json") == 0.02  # type: ignore[arg-type]


def test_heads_that_are_fitted_have_no_rate(run: Run):
    with pytest.raises(GraftError, match=r"lr must be a number with head=ridge, .*; try lr=0.001, or head=plain"):
        run("head=ridge", "lr=auto")
