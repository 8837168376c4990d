"""A sweep of 16 jobs in one process and over two joblib workers: seconds, memory, and whether the tables are equal.

python tests/benchmarks/launcher.py [key=value ...], where these are added to both sweeps. Each starts with an empty
cache. Memory is that of all processes together, which share some of it: the sum of their proportional set sizes.
"""

import json
import os
import subprocess
import sys
import tempfile
import threading
import time
from pathlib import Path

import pandas

TRAIN = Path(__file__).parent.parent.parent / "src" / "train.py"
SWEEP = ("name=s", "head=plain,dense512", "dropout=0,0.5", "lr=0.001,0.0003", "activation=relu,tanh")
ONE_AFTER_ANOTHER = ()
TWO_AT_ONCE = ("hydra/launcher=joblib", "hydra.launcher.n_jobs=2")


def memory(session: int) -> int:
    """Return the bytes that all processes of a session take together."""
    total = 0
    for path in Path("/proc").glob("[0-9]*"):
        try:
            if os.getsid(int(path.name)) == session:
                lines = (path / "smaps_rollup").read_text().splitlines()
                total += next(1024 * int(line.split()[1]) for line in lines if line.startswith("Pss:"))
        except (OSError, StopIteration):
            continue  # it has ended
    return total


def sweep(folder: Path, *words: str) -> tuple[float, int]:
    """Run the sweep in a folder, and return its seconds and the most bytes that it took."""
    start, most = time.perf_counter(), 0
    process = subprocess.Popen(
        [sys.executable, TRAIN, "-m", *SWEEP, *words], cwd=folder, stdout=subprocess.DEVNULL, start_new_session=True
    )
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
    tables, trials = [], []
    for name, launcher in (("one process", ONE_AFTER_ANOTHER), ("two workers", TWO_AT_ONCE)):
        load = os.getloadavg()[0]
        with tempfile.TemporaryDirectory() as place:
            seconds, most = sweep(Path(place), *launcher, *sys.argv[1:])
            folder = Path(place) / "outputs" / "s"
            tables.append(pandas.read_csv(folder / "leaderboard.csv").drop(columns="seconds"))
            found = sorted(folder.glob("*/result.json"))
            trials.append({path.parent.name: json.loads(path.read_text())["trials"] for path in found})
        print(f"{name}: {len(tables[-1])} jobs, {seconds:.0f} s, {most / 2**30:.2f} GiB; load before {load:.1f}")
    same = sum(trials[0][job] == trials[1][job] for job in trials[0])
    print(f"tables equal: {tables[0].equals(tables[1])}; jobs whose trials are equal to the last digit: {same}")


if __name__ == "__main__":
    main()
