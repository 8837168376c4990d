"""The cost of the trial axis and of Lightning, as ratios within one run: python tests/benchmarks/trial_axis.py.

1. Fifteen stacked trials against one trial, on stored features: seconds of the Lightning fit.
2. The Lightning fit against a plain PyTorch loop over the same stacked steps.
3. One trial's steps in such a loop with a trial's own dropout masks against those with PyTorch's generator.

Each pair is measured alternately, and the median is shown, because the machine may be shared.
"""

import logging
import sys
import time
from collections.abc import Callable
from functools import partial
from statistics import median

import pytorch_lightning as pl
import torch
from rich.console import Console
from rich.table import Table
from torch import nn
from torch.nn.functional import cross_entropy

from graft.backbones.backbone import CNN
from graft.data.datamodule import Inputs, SmallDataModule
from graft.data.dataset import MNIST5k
from graft.data.preprocess import Preprocess
from graft.heads.head import Dense, Plain
from graft.process import keep_memory
from graft.stack.trial_stack import TrialStack
from graft.training.progress import Progress
from graft.training.transfer import TransferModule
from graft.training.tune import Freeze, Phase

EPOCHS, TURNS = 20, 5
DIGIT = Preprocess([1, 28, 28])
CPU = torch.device("cpu")
Makes = Callable[[], nn.Module]


def adam(parameters) -> torch.optim.Optimizer:
    return torch.optim.Adam(parameters, 1e-3, eps=1e-7, fused=True)


def data(trials: int, features: int | None, device: torch.device = CPU, batch_size: int = 4) -> SmallDataModule:
    digits = MNIST5k(big=[0, 2, 4, 6, 8], small=[1, 3, 5, 7, 9], test_per_class=250)
    split = SmallDataModule(digits, range(trials), batch_size)
    inputs = digits.images.read(split.images) if features is None else torch.rand(len(split.images), features)
    return split.with_inputs(Inputs(inputs, features is not None, inputs.shape[1:]).to(device))


def lightning(trials: int, make: Makes, features: int | None, epochs: int = EPOCHS) -> float:
    """Return the seconds of a fit as in a job."""
    split = data(trials, features)
    front = nn.Sequential(DIGIT)
    transfer = TransferModule(front, [make() for _ in range(trials)], Phase(0, optimizer=adam))
    trainer = pl.Trainer(
        accelerator="cpu",
        max_epochs=epochs,
        limit_val_batches=0,
        logger=False,
        callbacks=[Freeze(), Progress("fit")],
        enable_checkpointing=False,
        enable_model_summary=False,
        enable_progress_bar=False,
    )
    start = time.perf_counter()
    trainer.fit(transfer, datamodule=split)
    return time.perf_counter() - start


def plain_loop(trials: int, make: Makes, features: int | None, epochs: int = EPOCHS) -> float:
    """Return the seconds of the same steps in a plain PyTorch loop."""
    split = data(trials, features)
    stack = TrialStack([make() for _ in range(trials)])
    optimizer = adam(stack.parameters())
    batches = split.train_dataloader()
    start = time.perf_counter()
    for _ in range(epochs):
        for inputs, labels, *_ in batches:
            inputs = inputs.float() / 255 if features is None else inputs
            losses = cross_entropy(stack(inputs).flatten(0, 1), labels.flatten(), reduction="none")
            optimizer.zero_grad()
            losses.view(trials, -1).mean(1).sum().backward()
            optimizer.step()
    return time.perf_counter() - start


def dropout(own: bool, make: Makes, features: int, batch_size: int, epochs: int = EPOCHS) -> float:
    """Return the seconds of one trial's steps with its own masks, or with those of `nn.Dropout`."""
    split, stack = data(1, features, batch_size=batch_size), TrialStack([make()])
    if not own:
        stack.network = make()  # whose layers are still PyTorch's
    optimizer, batches = adam(stack.parameters()), split.train_dataloader()
    start = time.perf_counter()
    for _ in range(epochs):
        for inputs, labels, *_ in batches:
            loss = cross_entropy(stack(inputs).flatten(0, 1), labels.flatten())
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
    return time.perf_counter() - start


def turns(*measures: Callable[[], float]) -> list[float]:
    """Take several measurements alternately and return the median seconds of each."""
    for measure in measures:
        measure()
    return [median(times) for times in zip(*([measure() for measure in measures] for _ in range(TURNS)), strict=True)]


def main() -> None:
    logging.getLogger("pytorch_lightning").setLevel(logging.ERROR)
    keep_memory()
    heads: dict[str, Callable[[int], Makes]] = {
        "plain": lambda features: lambda: Plain(features, 5, dropout=0.5),
        "dense512": lambda features: lambda: Dense(features, 5, dropout=0.5),
    }
    stacked = Table(
        "head", "features", "1 trial, ms per step", "15 trials", "ratio", title="15 stacked trials against one"
    )
    overhead = Table(
        "network", "plain loop, ms per step", "Lightning", "difference", "ratio", title="Lightning against a loop"
    )
    for name, head in heads.items():
        for features in (512, 1600):
            make, steps = head(features), EPOCHS * 25 / 1000
            one, fifteen = turns(partial(lightning, 1, make, features), partial(lightning, 15, make, features))
            stacked.add_row(
                name, f"{features:,}", f"{one / steps:.2f}", f"{fifteen / steps:.2f}", f"{fifteen / one:.2f}"
            )
    cases: list[tuple[str, Makes, int | None, int]] = [
        ("plain, 512 features", heads["plain"](512), 512, EPOCHS),
        ("dense512, 512 features", heads["dense512"](512), 512, EPOCHS),
        ("cnn from scratch", lambda: nn.Sequential(CNN(DIGIT).split(0)[1], Plain(1600, 5, dropout=0.5)), None, 4),
    ]
    for name, make, features, epochs in cases:
        steps = epochs * 25 / 1000
        loop, fit = turns(*(partial(way, 15, make, features, epochs) for way in (plain_loop, lightning)))
        overhead.add_row(
            name, f"{loop / steps:.2f}", f"{fit / steps:.2f}", f"{(fit - loop) / steps:.2f}", f"{fit / loop:.2f}"
        )
    masks = Table("head", "features", "batch", "nn.Dropout, s", "own masks, s", "ratio", title="One trial's dropout")
    for name, head in heads.items():
        for features, batch_size in ((512, 4), (512, 32), (1600, 4)):
            each = [partial(dropout, own, head(features), features, batch_size) for own in (False, True)]
            native, own = turns(*each)
            ratio = f"{own / native:.2f}"
            masks.add_row(name, f"{features:,}", str(batch_size), f"{native:.2f}", f"{own:.2f}", ratio)
    console = Console(width=100)
    console.print(
        f"torch {torch.__version__}, {torch.get_num_threads()} threads, {sys.platform}", stacked, overhead, masks
    )


if __name__ == "__main__":
    main()
