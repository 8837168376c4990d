import math
from collections.abc import Callable

import pytest
import torch
from conftest import ROOT
from omegaconf import OmegaConf

from graft.config.build import build
from graft.errors import GraftError
from graft.training.schedule import Schedule

OPTIONS = ROOT / "conf" / "schedule"
Run = Callable[..., dict]


def rates(name: str, steps: int = 100, **settings: float) -> list[list[float]]:
    """Return the two groups' rates at each step of a fit."""
    weights = [torch.nn.Parameter(torch.zeros(1)) for _ in range(2)]
    optimizer = torch.optim.SGD([{"params": [weights[0]]}, {"params": [weights[1]], "lr": 0.1}], lr=1.0)
    node = OmegaConf.merge(OmegaConf.load(OPTIONS / f"{name}.yaml"), settings)
    schedule: Schedule = build(OmegaConf.create({"schedule": node}), "schedule")
    scheduler, seen = schedule(optimizer, steps, 10), []
    for _ in range(steps):
        seen.append([group["lr"] for group in optimizer.param_groups])
        optimizer.step()
        if scheduler is not None:
            scheduler.step()
    return seen


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("constant", lambda step: 1.0),
        ("cosine", lambda step: (1 + math.cos(math.pi * step / 100)) / 2),
        ("step", lambda step: 0.1 ** (step // 30)),
    ],
)
def test_schedules_follow_their_formulas(name: str, expected: Callable[[int], float]):
    settings = {"step_size": 3} if name == "step" else {}
    found = [rate for rate, _ in rates(name, **settings)]
    assert found == pytest.approx([expected(step) for step in range(100)], rel=1e-9)


def test_cosine_ends_at_the_same_rate_for_all_groups():
    optimizers = [torch.optim.SGD([torch.nn.Parameter(torch.zeros(1))], lr) for lr in (1.0, 0.1)]
    oracles = [torch.optim.lr_scheduler.CosineAnnealingLR(optimizer, 100, eta_min=0.01) for optimizer in optimizers]
    for found in rates("cosine", eta_min=0.01):
        assert found == pytest.approx([optimizer.param_groups[0]["lr"] for optimizer in optimizers], rel=1e-9)
        for optimizer, oracle in zip(optimizers, oracles, strict=True):
            optimizer.step()
            oracle.step()


def test_cosine_raises_no_rate_that_is_below_its_end():
    found = rates("cosine", eta_min=0.5)  # the second group's rate is 0.1
    assert found[-1][0] == pytest.approx(0.5, abs=1e-3)
    assert {second for _, second in found} == {0.1}


def test_a_warm_up_rises_evenly_then_the_schedule_begins():
    late = {"constant": [1.0] * 80, "cosine": [(1 + math.cos(math.pi * step / 80)) / 2 for step in range(80)]}
    late["step"] = [0.1 ** (step // 30) for step in range(80)]
    for name, expected in late.items():
        settings = {"step_size": 3} if name == "step" else {}
        found = [rate for rate, _ in rates(name, warmup=0.2, **settings)]
        assert found[:20] == pytest.approx([(step + 1) / 21 for step in range(20)], rel=1e-9)
        assert found[20:] == pytest.approx(expected, rel=1e-9)


def test_one_cycle_rises_to_the_rate_and_falls_to_nothing():
    found = [rate for rate, _ in rates("one_cycle")]
    assert found[0] == pytest.approx(1 / 25)
    assert max(found) == pytest.approx(1.0, abs=1e-2)
    assert found.index(max(found)) in (29, 30)
    assert found[-1] < 0.002


@pytest.mark.parametrize("name", ["constant", "cosine", "step", "one_cycle"])
def test_groups_keep_the_ratio_of_their_rates(name: str):
    for first, second in rates(name, **({} if name == "one_cycle" else {"warmup": 0.1})):  # type: ignore[arg-type]
        assert second == pytest.approx(first / 10, rel=1e-6)


@pytest.mark.slow
def test_jobs_follow_a_schedule_alone_as_in_the_stack(run: Run):
    settings = ("source.epochs=1", "dropout=0", "epochs=2", "test_curve=false", "dataset.small_per_class=4")
    both = run(*settings, "schedule=cosine", "trials=2")
    alone = run(*settings, "schedule=cosine", "trials=1", "seed=1", name="alone")
    constant = run(*settings, "trials=2", name="constant")
    assert both["trials"][1]["loss"] == pytest.approx(alone["trials"][0]["loss"], abs=1e-5)
    assert both["trials"][1]["loss"] != pytest.approx(constant["trials"][1]["loss"], abs=1e-3)


@pytest.mark.parametrize(
    ("overrides", "message"),
    [
        (("schedule.warmup=1",), r"schedule.warmup must be in \[0, 1\), got 1"),
        (("schedule=step", "schedule.step_size=100"), "schedule.step_size must be below epochs=100, .*, got 100"),
        (("schedule=one_cycle", "schedule.anneal_strategy=x"), "schedule.anneal_strategy must be cos or linear"),
    ],
)
def test_impossible_values_are_refused(run: Run, overrides: tuple[str, ...], message: str):
    with pytest.raises(GraftError, match=message):
        run(*overrides)
