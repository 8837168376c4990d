"""How long a folder of 100,000 images takes to list: seconds of the first process, and of the next ones.

    python tests/benchmarks/big_folder.py [NUMBER [FOLDER]]

makes NUMBER small PNG files of distinct bytes in 100 classes (in FOLDER, which is kept, or in a temporary one), of
which 1,000 are drawn, plans the data set in one process after another with one cache, and prints each one's seconds and
their ratio. docs/scaling.md has the numbers.
"""

import subprocess
import sys
import tempfile
import time
from pathlib import Path

import numpy as np
from PIL import Image

CLASSES = 100
RUNS = ("first", "second", "third")
PLAN = """
import sys, time
import torch
from graft.data.dataset import ImageFolder
start = time.perf_counter()
data = ImageFolder([], "all", sys.argv[1], small_per_class=10, test_per_class=1, cache=sys.argv[2])
planned = time.perf_counter()
data.images.read(data.sample(0)[0])
print(planned - start, time.perf_counter() - planned, len(data.images.labels))
"""


def make_files(root: Path, number: int) -> None:
    """Write small gray pictures of noise into class folders; those that exist are kept."""
    noise = np.random.default_rng(0)
    for index in range(number):
        path = root / f"class_{index % CLASSES:02}" / f"{index:06}.png"
        if index < CLASSES:
            path.parent.mkdir(parents=True, exist_ok=True)
        if not path.exists():
            Image.fromarray(noise.integers(0, 256, (16, 16), dtype=np.uint8)).save(path, compress_level=0)


def main(number: int, folder: Path) -> None:
    """Make the files, plan several times, and print the ratio."""
    make_files(folder / "root", number)
    time.sleep(3)  # a file that has just changed is not remembered
    seconds = []
    with tempfile.TemporaryDirectory() as cache:
        for name in RUNS:
            command = [sys.executable, "-c", PLAN, str(folder / "root"), cache]
            said = subprocess.run(command, check=True, capture_output=True, text=True).stdout.split()
            seconds.append(float(said[-3]))
            print(f"{name} process: {int(said[-1]):,} files planned in {seconds[-1]:.1f} s, ", end="")
            print(f"1,000 read in {float(said[-2]):.1f} s", flush=True)
    print(f"the first process took {seconds[0] / seconds[1]:.1f} times as long as the second")


if __name__ == "__main__":
    with tempfile.TemporaryDirectory() as temporary:
        words = sys.argv[1:]
        main(int(words[0]) if words else 100_000, Path(words[1]) if len(words) > 1 else Path(temporary))
