"""Frozen stages in 32 bits and in bfloat16: processor seconds, how far features are apart, and the accuracy.

    python tests/benchmarks/half_features.py WORD ...

The words are those of a job with `head=ridge`, data set and backbone. Both precisions read and decode all images anew
and pass them through the frozen stages, one after the other, twice; the ratio is that of the fastest rounds.
Ridge regression on either's features is then tested by all trials. Seconds are those of all threads.
"""

import sys
import tempfile
import time
from pathlib import Path

import torch
from hydra import compose, initialize_config_dir
from omegaconf import DictConfig

from graft.data.images import ImageFiles
from graft.heads.head import Ridge
from graft.process import keep_memory
from graft.run.make_plan import make_plan
from graft.run.plan import Plan
from graft.training import features as stored
from graft.training.features import FeatureStore
from graft.training.inputs import phase_inputs

CONF = Path(__file__).parent.parent.parent / "conf"
ROUNDS = 2


def features(cfg: DictConfig) -> tuple[float, torch.Tensor, Plan]:
    """Return the processor seconds of reading, decoding and the pass, the features and the plan."""
    plan = make_plan(cfg)
    backbone = plan.pretrained(Path(cfg.cache))
    front, _ = backbone.split(backbone.keep)
    front.to(memory_format=torch.channels_last)
    images = plan.data.images
    if isinstance(images, ImageFiles):
        vars(images).pop("_memory", None)  # decoded before
    stored._memory.clear()
    with tempfile.TemporaryDirectory() as folder:
        start = time.process_time()
        inputs = phase_inputs(plan.datamodule, front, True, FeatureStore(Path(folder), plan.device), last=True)
        seconds = time.process_time() - start
    assert isinstance(inputs.plain, torch.Tensor)
    return seconds, inputs.plain, plan


def accuracies(found: torch.Tensor, plan: Plan) -> torch.Tensor:
    """Return the test accuracy of ridge regression for each trial, (trials,)."""
    data, rows = plan.datamodule, plan.datamodule.rows
    values = []
    for trial, train in enumerate(rows["train"]):
        test = rows["test"][min(trial, len(rows["test"]) - 1)]
        weight, bias = Ridge.fit(found[train], data.labels[train]).values()
        values.append(((found[test] @ weight.T + bias).argmax(1) == data.labels[test]).float().mean())
    return torch.stack(values)


def main(words: list[str]) -> None:
    """Measure one job's words."""
    keep_memory()
    seconds: dict[str, list[float]] = {"32-true": [], "bf16-mixed": []}
    found: dict[str, torch.Tensor] = {}
    right: dict[str, torch.Tensor] = {}
    with initialize_config_dir(str(CONF), version_base="1.3"):
        for _ in range(ROUNDS):
            for precision in seconds:
                given = ["name=half", "head=ridge", "tune=frozen", *words, f"frozen_precision={precision}"]
                used, found[precision], plan = features(compose("train", given))
                seconds[precision].append(used)
                if precision not in right:
                    right[precision] = accuracies(found[precision], plan)
    exact, half = found.values()
    apart = ((half - exact).norm() / exact.norm()).item()
    change = 100 * (right["bf16-mixed"] - right["32-true"])
    slow, fast = (min(seconds[precision]) for precision in seconds)
    print(
        f"{len(exact):,} images: 32 bits {slow:.1f} s of processors, bfloat16 {fast:.1f} s, {slow / fast:.2f} times as "
        f"fast; features {apart:.4f} apart; ridge {100 * right['32-true'].mean():.2f} and "
        f"{100 * right['bf16-mixed'].mean():.2f} %, {change.mean():+.2f} points "
        f"(trials from {change.min():+.2f} to {change.max():+.2f})"
    )


if __name__ == "__main__":
    main(sys.argv[1:])
