"""An epoch of VGG-16's last block on 1,000 images: from stored activations, and through the whole network.

python tests/benchmarks/thaw.py [SIZE ...]: the bundled digits, resized to SIZE (32), and random weights, which
affect neither cost nor equality. The benchmark counts processor seconds of one thread, which other programs on the
machine do not affect, and leaves out the first epoch. Both ways train the same phase, to the same losses.
"""

import itertools
import statistics
import sys
import tempfile
import time
from pathlib import Path

import torch
from hydra import compose, initialize_config_dir
from omegaconf import DictConfig
from safetensors.torch import save_file
from seconds import Seconds

from graft.backbones.backbone import VGG16
from graft.data.preprocess import Preprocess
from graft.process import keep_memory
from graft.run.make_plan import make_plan
from graft.training.features import FeatureStore
from graft.training.inputs import phase_inputs
from graft.training.tune import Freeze

CONF = Path(__file__).parent.parent.parent / "conf"


def fit(cfg: DictConfig, stored: bool, epochs: int = 3) -> tuple[float, list[float]]:
    """Train the last block and a head; return the median seconds of an epoch, and the loss of each epoch."""
    plan = make_plan(cfg)
    backbone = plan.backbone()
    weights = plan.source.weights(plan.backbone, plan.data, plan.trainer, Path(cfg.cache))
    assert weights is not None
    backbone.load_state_dict(weights)
    planned = plan.phases[0]
    front, stages = backbone.split(planned.phase.frozen_stages)
    networks = [plan.network(cfg.seed, planned.phase, stages)]
    store = FeatureStore(Path(cfg.cache), plan.device)
    module = plan.datamodule.with_inputs(phase_inputs(plan.datamodule, front, stored, store, last=True))
    front.to(memory_format=torch.channels_last)  # as for extracting features: faster
    transfer = plan.transfer(planned, front, networks, module)
    seconds = Seconds(time.process_time)
    trainer = plan.trainer(max_epochs=epochs, logger=False, limit_val_batches=0, callbacks=[Freeze(), seconds])
    trainer.fit(transfer, datamodule=module)
    losses = [float(value) for (_, metric, _), value in transfer.history.items() if metric == "loss"]
    return statistics.median(seconds.each[1:]), losses


def main() -> None:
    torch.set_num_threads(1)
    keep_memory()
    for size, batch in itertools.product(map(int, sys.argv[1:] or ["32"]), (32, 100)):
        with tempfile.TemporaryDirectory() as folder, initialize_config_dir(str(CONF), version_base="1.3"):
            torch.manual_seed(0)
            save_file(VGG16(Preprocess([3, 32, 32])).state_dict(), f"{folder}/vgg16.safetensors")
            words = [
                "name=thaw", f"cache={folder}", "trials=1", f"batch_size={batch}", "lr=1e-4", "dropout=0",
                "backbone=vgg16", "source=file", f"source.path={folder}/vgg16.safetensors", "tune=frozen",
                "tune.thaw=1", "dataset.big=[]", "dataset.small=all", "dataset.small_per_class=100",
                "dataset.test_per_class=1", f"dataset.size={size}", "test_curve=false",
            ]  # fmt: skip
            cfg = compose("train", words)
            (whole, recomputed), (border, losses) = fit(cfg, stored=False), fit(cfg, stored=True)
        worst = max(abs(one - other) for one, other in zip(recomputed, losses, strict=True))
        print(
            f"{size}x{size} pixels, batches of {batch}: an epoch of the whole network {whole:.2f} s, "
            f"from stored activations {border:.2f} s ({whole / border:.1f} times faster); "
            f"losses {', '.join(f'{loss:.4f}' for loss in losses)}, at most {worst:.1e} apart"
        )


if __name__ == "__main__":
    main()
