"""A sweep of 16 jobs in one process and over two joblib workers: seconds, memory, and whether the tables are equal.

Two workers divide the machine's threads, here one each, and another number of threads rounds sums differently. So the
sweep also runs in one process with one thread, which must give the workers' table.

python tests/benchmarks/launcher.py [key=value ...], which are added to each sweep. Each sweep starts with an empty
cache. Memory is the sum of the proportional set sizes of all processes, which count shared pages once.
"""

import os
import subprocess
import sys
import tempfile
import threading
import time
from pathlib import Path
from typing import Any

import pandas

TRAIN = Path(__file__).parent.parent.parent / "src" / "train.py"
SWEEP = ("name=s", "baseline=none", "head=plain,dense512", "dropout=0,0.5", "lr=0.001,0.0003", "activation=relu,tanh")
JOBLIB = ("hydra/launcher=joblib", "hydra.launcher.n_jobs=2")
RUNS = {"one process": ({}, ()), "one process, one thread": ({"OMP_NUM_THREADS": "1"}, ()), "two workers": ({}, JOBLIB)}


def memory(session: int) -> int:
    """Return the memory of all processes of a session, in bytes."""
    total = 0
    for path in Path("/proc").glob("[0-9]*"):
        try:
            if os.getsid(int(path.name)) == session:
                lines = (path / "smaps_rollup").read_text().splitlines()
                total += next(1024 * int(line.split()[1]) for line in lines if line.startswith("Pss:"))
        except (OSError, StopIteration):
            continue  # the process has ended
    return total


def sweep(folder: Path, threads: dict[str, str], *words: str) -> tuple[float, int]:
    """Run the sweep in a folder; return its seconds and its peak memory in bytes."""
    start, most = time.perf_counter(), 0
    command = [sys.executable, TRAIN, "-m", *SWEEP, *words]
    quiet: Any = {"stdout": subprocess.DEVNULL, "stderr": subprocess.DEVNULL}
    process = subprocess.Popen(command, cwd=folder, env=os.environ | threads, start_new_session=True, **quiet)
    ended = threading.Event()

    def watch() -> None:
        nonlocal most
        while not ended.wait(0.5):
            most = max(most, memory(process.pid))

    thread = threading.Thread(target=watch)
    thread.start()
    if process.wait():
        sys.exit("a job failed")
    seconds = time.perf_counter() - start
    ended.set()
    thread.join()
    return seconds, most


def main() -> None:
    tables = {}
    for name, (threads, launcher) in RUNS.items():
        load = os.getloadavg()[0]
        with tempfile.TemporaryDirectory() as place:
            seconds, most = sweep(Path(place), threads, *launcher, *sys.argv[1:])
            tables[name] = pandas.read_csv(Path(place) / "outputs/s/leaderboard.csv").drop(columns="seconds")
        jobs = len(tables[name])
        print(f"{name}: {jobs} jobs, {seconds:.0f} s, {most / 2**30:.2f} GiB; load before {load:.1f}", flush=True)
    one, thread, two = (table.set_index("job").sort_index() for table in tables.values())
    print(f"tables of two workers and of one process with one thread equal: {thread.equals(two)}")
    points = 100 * (one["accuracy"] - two["accuracy"]).abs().max()
    print(f"one process with all threads differs from them by {points:.2f} points at most: it adds in another order")


if __name__ == "__main__":
    main()
