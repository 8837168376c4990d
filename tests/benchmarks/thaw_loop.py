"""An epoch of the last phase of a job that thaws stages: Graft's fit, and a plain loop from the same stored border.

    python tests/benchmarks/thaw_loop.py WORD ...

The words are those of a job of one trial. Each way takes three turns; a turn's first epoch does not count.
The loop trains with PyTorch's Adam in its default memory format and with channels last, and draws no augmentation.
"""

import copy
import statistics
import sys
import time
from pathlib import Path

import torch
from hydra import compose, initialize_config_dir
from seconds import Seconds
from torch import nn

from graft.process import keep_memory
from graft.run.make_plan import make_plan
from graft.training.features import FeatureStore
from graft.training.inputs import phase_inputs
from graft.training.tune import Freeze

CONF = Path(__file__).parent.parent.parent / "conf"
ROUNDS, EPOCHS = 3, 4


def loop(network: nn.Module, inputs: torch.Tensor, labels: torch.Tensor, batch_size: int) -> list[float]:
    """Train a network; return the seconds of each epoch."""
    optimizer = torch.optim.Adam([each for each in network.train().parameters() if each.requires_grad], lr=1e-4)
    seconds = []
    for _ in range(EPOCHS):
        start = time.perf_counter()
        for rows in torch.randperm(len(inputs)).split(batch_size):
            loss = nn.functional.cross_entropy(network(inputs[rows]), labels[rows])
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
        seconds.append(time.perf_counter() - start)
    return seconds


def main(words: list[str]) -> None:
    """Measure one job's words."""
    keep_memory()
    with initialize_config_dir(str(CONF), version_base="1.3"):
        cfg = compose("train", ["name=thaw", "trials=1", *words])
    plan = make_plan(cfg)
    backbone, planned = plan.pretrained(Path(cfg.cache)), plan.phases[-1]
    front, stages = backbone.split(planned.phase.frozen_stages)
    front.to(memory_format=torch.channels_last)
    store = FeatureStore(Path(cfg.cache) / "features", plan.device)
    module = plan.datamodule.with_inputs(phase_inputs(plan.datamodule, front, True, store, last=True))
    network = plan.network(cfg.seed, planned.phase, stages)
    batches = list(module.train_dataloader())
    inputs = torch.cat([batch.inputs.flatten(0, -4) if batch.inputs.ndim > 4 else batch.inputs for batch in batches])
    labels = torch.cat([batch.labels.flatten() for batch in batches])
    seconds: dict[str, list[float]] = {"Graft": [], "loop": [], "loop, channels last": []}
    for _ in range(ROUNDS):
        epochs = Seconds(time.perf_counter)
        trainer = plan.trainer(max_epochs=EPOCHS, logger=False, limit_val_batches=0, callbacks=[Freeze(), epochs])
        trainer.fit(plan.transfer(planned, front, [copy.deepcopy(network)], module), datamodule=module)
        seconds["Graft"] += epochs.each[1:]
        for name, layout in (("loop", torch.contiguous_format), ("loop, channels last", torch.channels_last)):
            own = copy.deepcopy(network).to(memory_format=layout)  # type: ignore[call-overload]
            seconds[name] += loop(own, inputs, labels, plan.datamodule.batch_size)[1:]
    print(f"{len(inputs)} stored activations {tuple(inputs.shape[1:])}, batches of {plan.datamodule.batch_size}")
    for name, each in seconds.items():
        print(f"{name}: {statistics.median(each):.3f} s an epoch")


if __name__ == "__main__":
    main(sys.argv[1:])
