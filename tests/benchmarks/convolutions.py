"""A training step of stacked convolutional networks: at once, one after another, and as a plain loop.

python tests/benchmarks/convolutions.py [--cases 4] [--turns 5] measures all ways alternately in one run, because the
machine may be shared, and prints the median milliseconds of a step of all trials. The plain loop is what a student
writes: the networks one after another, each with a step of torch.optim.Adam, in PyTorch's default memory format. Graft
trains with fused=True, so the loop is also measured with it.
"""

import argparse
import time
from collections.abc import Callable
from statistics import median

import torch
from rich.console import Console
from rich.table import Table
from torch import nn
from torch.nn.functional import cross_entropy

from graft.backbones.backbone import CNN, CNN4, CNN5, VGG16
from graft.data.preprocess import Preprocess
from graft.heads.head import Plain
from graft.model.layers import num_kernel_weights
from graft.process import keep_memory
from graft.stack import trial_stack
from graft.stack.trial_stack import TrialStack

DIGIT, PHOTO = Preprocess([1, 28, 28]), Preprocess([3, 32, 32])
NETWORKS: dict[str, tuple[Callable[[], nn.Module], tuple[int, ...]]] = {
    "the lecture's for digits": (lambda: nn.Sequential(CNN(DIGIT).split(0)[1], Plain(1600, 5)), (1, 28, 28)),
    "the lecture's for CIFAR-10": (lambda: nn.Sequential(CNN4(PHOTO).split(0)[1], Plain(1600, 10)), (3, 32, 32)),
    "CNN5, with batch norm": (lambda: nn.Sequential(CNN5(DIGIT).split(0)[1], Plain(1152, 5)), (1, 28, 28)),
    "VGG-16's last block": (lambda: nn.Sequential(VGG16(PHOTO).split(4)[1], Plain(512, 5)), (512, 2, 2)),
}
CASES = [
    ("the lecture's for digits", 15, 4),
    ("the lecture's for digits", 15, 32),
    ("the lecture's for CIFAR-10", 15, 4),
    ("the lecture's for CIFAR-10", 15, 32),
    ("CNN5, with batch norm", 15, 4),
    ("CNN5, with batch norm", 15, 32),
    ("VGG-16's last block", 5, 4),
    ("VGG-16's last block", 5, 32),
]
WAYS = {"at once": False, "one after another": True}  # what takes_turns says


LOOPS = {"plain loop": None, "with a fused Adam": True}  # what Adam's `fused` is; None is PyTorch's default


def adam(network: nn.Module, fused: bool | None = True) -> torch.optim.Optimizer:
    return torch.optim.Adam(network.parameters(), 1e-3, eps=1e-7, fused=fused)


def plain_loop(
    make: Callable[[], nn.Module], x: torch.Tensor, y: torch.Tensor, fused: bool | None
) -> Callable[[], None]:
    """Return a step of all trials as a loop over networks."""
    networks = [make() for _ in x]
    optimizers = [adam(network, fused) for network in networks]

    def step() -> None:
        for network, optimizer, inputs, labels in zip(networks, optimizers, x, y, strict=True):
            optimizer.zero_grad()
            cross_entropy(network(inputs), labels).backward()
            optimizer.step()

    return step


def stacked(make: Callable[[], nn.Module], x: torch.Tensor, y: torch.Tensor, turns: bool) -> Callable[[], None]:
    """Return a step of a stack that goes one way."""
    small = x.dim() == 5 and x.shape[-1] <= 4
    stack = TrialStack([make() for _ in x], torch.contiguous_format if small else torch.channels_last)
    optimizer = adam(stack)

    def step() -> None:
        trial_stack.takes_turns = lambda *_: turns
        optimizer.zero_grad()
        losses = cross_entropy(stack(x).flatten(0, 1), y.flatten(), reduction="none")
        losses.view(len(x), -1).mean(1).sum().backward()
        optimizer.step()

    return step


def milliseconds(step: Callable[[], None], steps: int) -> float:
    start = time.perf_counter()
    for _ in range(steps):
        step()
    return (time.perf_counter() - start) * 1000 / steps


def main() -> None:
    """Measure and print a table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--cases", type=int, default=len(CASES), help="how many of the cases, from the first")
    parser.add_argument("--turns", type=int, default=5)
    words = parser.parse_args()
    keep_memory()
    chosen = trial_stack.takes_turns
    table = Table("networks", "batch", *LOOPS, *WAYS, "Graft's choice", title="Milliseconds per step")
    for name, trials, batch in CASES[: words.cases]:
        make, shape = NETWORKS[name]
        x, y = torch.rand(trials, batch, *shape), torch.randint(0, 5, (trials, batch))
        steps = [plain_loop(make, x, y, fused) for fused in LOOPS.values()]
        steps += [stacked(make, x, y, turns) for turns in WAYS.values()]
        for step in steps:
            step()
        turns = [[milliseconds(step, 10 if batch < 16 else 3) for step in steps] for _ in range(words.turns)]
        plain, fused, *ways = (median(times) for times in zip(*turns, strict=True))
        own = ways[chosen(num_kernel_weights(make()), batch)]
        ratio = f"{plain / own:.2f} and {fused / own:.2f} times as fast"
        table.add_row(f"{trials} of {name}", str(batch), *(f"{value:.0f}" for value in (plain, fused, *ways)), ratio)
    Console(width=120).print(f"torch {torch.__version__}, {torch.get_num_threads()} threads", table)


if __name__ == "__main__":
    main()
