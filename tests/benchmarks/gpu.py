"""GPU against CPU: the trial axis with up to 1,024 trials and, with --data, rows of the lecture.

python tests/benchmarks/gpu.py [--data DATA] [--trials 1 15 128 1024] [--output trials.png]. DATA contains MNIST/raw,
cifar10_jpeg/{train,test}/<class> and weights/vgg16_imagenet_features.safetensors. Without a GPU only the CPU is
measured. The trial axis: an epoch of 25 steps of 4 images, heads 512-512-5 on stored features, as in a job's fit, and
with torch.compile. Rows run from the command line, each with an empty cache, while nvidia-smi measures the GPU's
utilization.
"""

import argparse
import json
import logging
import os
import subprocess
import sys
import tempfile
import threading
import time
from pathlib import Path
from statistics import fmean

import pytorch_lightning as pl
import torch
from matplotlib.figure import Figure
from seconds import Seconds
from torch import nn
from trial_axis import DIGIT, adam, data

from graft.heads.head import Dense
from graft.process import keep_memory, stop_looking_for_gpus
from graft.training.transfer import TransferModule
from graft.training.tune import Freeze, Phase

TRAIN = Path(__file__).parent.parent.parent / "src" / "train.py"
FEATURES, EPOCHS = 512, 4
ROWS = ("lecture_mnist_scratch", "lecture_mnist_transfer", "lecture_mnist_vgg16_dense512", "lecture_cifar10_cnn4_relu")


def synchronized_time() -> float:
    """Wait for the device, then return the time."""
    if torch.cuda.is_available():
        torch.cuda.synchronize()
    return time.perf_counter()


def epoch(trials: int, accelerator: str, compiled: bool = False) -> tuple[float, float]:
    """Return the seconds of the first epoch of that many stacked trials, and of the fastest later epoch."""
    split = data(trials, FEATURES, torch.device("cuda" if accelerator == "gpu" else "cpu"))
    heads: list[nn.Module] = [Dense(FEATURES, 5, dropout=0.5) for _ in range(trials)]
    transfer = TransferModule(nn.Sequential(DIGIT), heads, Phase(2, optimizer=adam))
    if compiled:
        transfer.stack.compile()
    seconds = Seconds(synchronized_time)
    quiet = dict.fromkeys(("logger", "enable_checkpointing", "enable_model_summary", "enable_progress_bar"), False)
    trainer = pl.Trainer(
        accelerator=accelerator,
        devices=1,
        max_epochs=EPOCHS,
        limit_val_batches=0,
        callbacks=[Freeze(), seconds],
        **quiet,
    )
    trainer.fit(transfer, datamodule=split)
    return seconds.each[0], min(seconds.each[1:])


def row(name: str, data: Path, accelerator: str) -> tuple[float, float, float | None]:
    """Run one of the lecture's rows; return its accuracy, its seconds, and the GPU's mean utilisation in percent."""
    words = [f"experiment={name}", "name=row", f"trainer.accelerator={accelerator}", f"dataset.root={data}"]
    if "cifar10" in name:
        words[-1:] = ["dataset=image_folder", f"dataset.root={data}/cifar10_jpeg"]
    if "vgg16" in name:
        words += ["source=file", f"source.path={data}/weights/vgg16_imagenet_features.safetensors"]
    with tempfile.TemporaryDirectory() as folder:
        busy, ended = [], threading.Event()
        watch = threading.Thread(target=_watch, args=(busy, ended))
        if accelerator == "gpu":
            watch.start()
        start = time.perf_counter()
        done = subprocess.run([sys.executable, TRAIN, *words], cwd=folder, capture_output=True, text=True, check=False)
        seconds = time.perf_counter() - start
        ended.set()
        if accelerator == "gpu":
            watch.join()
        if done.returncode:
            sys.exit(f"{' '.join(words)} failed: {done.stderr}")
        result = json.loads((Path(folder) / "outputs/row/result.json").read_text())
    return result["accuracy"]["mean"], seconds, fmean(busy) if busy else None


def _watch(busy: list[float], ended: threading.Event) -> None:
    command = ["nvidia-smi", "--id=0", "--query-gpu=utilization.gpu", "--format=csv,noheader,nounits"]
    while not ended.wait(0.5):
        said = subprocess.run(command, capture_output=True, text=True, check=False).stdout.strip()
        if said.isdigit():  # not a number if the GPU is divided by MIG
            busy.append(float(said))


def draw(seconds: dict[str, dict[int, float]], path: Path) -> None:
    """Plot seconds against the number of trials, one line per device."""
    figure = Figure(figsize=(7, 4.5), layout="constrained")
    axes = figure.subplots()
    for (device, measured), look in zip(seconds.items(), ("o-", "s--"), strict=False):
        axes.plot(list(measured), list(measured.values()), look, color="black", label=device)
    axes.set(xscale="log", yscale="log", xlabel="trials, side by side", ylabel="seconds per epoch of 25 steps")
    ticks = sorted({trials for measured in seconds.values() for trials in measured})
    axes.set_xticks(ticks, [str(trials) for trials in ticks])
    axes.set_xticks([], minor=True)
    axes.set_title("Heads 512-512-5 on stored features, batches of 4")
    axes.grid(alpha=0.3)
    axes.legend()
    figure.savefig(path, dpi=110)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path)
    parser.add_argument("--trials", type=int, nargs="+", default=[1, 15, 128, 1024])
    parser.add_argument("--output", type=Path, default=Path("trials.png"))
    words = parser.parse_args()
    logging.getLogger("pytorch_lightning").setLevel(logging.ERROR)
    keep_memory()
    stop_looking_for_gpus()
    devices = {"cpu": f"CPU, {os.cpu_count()} cores"}
    if torch.cuda.is_available():
        devices["gpu"] = torch.cuda.get_device_name()
    else:
        print("no GPU found: measuring the CPU only")
    seconds: dict[str, dict[int, float]] = {}
    for accelerator, device in devices.items():
        for trials in words.trials:
            _, seconds.setdefault(device, {})[trials] = epoch(trials, accelerator)
            first, compiled = epoch(trials, accelerator, compiled=True)
            print(
                f"{device}: {trials} trials, {1000 * seconds[device][trials]:.0f} ms per epoch; with torch.compile "
                f"{1000 * compiled:.0f} ms, after a first epoch of {first:.0f} s",
                flush=True,
            )
    draw(seconds, words.output)
    for name in ROWS if words.data else ():
        for accelerator, device in devices.items():
            accuracy, taken, busy = row(name, words.data.resolve(), accelerator)
            used = "" if busy is None else f", GPU busy {busy:.0f} % of the time"
            print(f"{name} on {device}: {100 * accuracy:.1f} %, {taken:.0f} s{used}", flush=True)


if __name__ == "__main__":
    main()
