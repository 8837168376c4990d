"""The cost of a job beyond its training, and the growth of memory, in a sweep of 64 jobs on stored features.

python tests/benchmarks/sweep.py [key=value ...], for instance epochs=10. The sweep runs from the command line, in one
process, on the bundled digits. An earlier run pre-trains the backbone. A sweep of one job measures the fixed cost of
every sweep: starting Python, importing PyTorch, and the report.
"""

import json
import subprocess
import sys
import tempfile
import time
from pathlib import Path

TRAIN = Path(__file__).parent.parent.parent / "src" / "train.py"
# The last key varies fastest: the first eight jobs have every width and head, so memory then includes the largest.
GRID = ("baseline=none", "dropout=0,0.2,0.4,0.6", "activation=relu,tanh", "width=16,32,64,128", "head=plain,dense")
FIXED = ("backbone.activation=relu",)


def resident(process: int) -> float:
    """Return a process's resident memory in MiB."""
    return int(Path(f"/proc/{process}/statm").read_text().split()[1]) * 4096 / 2**20


def run(folder: str, name: str, *words: str) -> tuple[float, float, int, dict[int, float]]:
    """Run a command.

    Returns:
        Total seconds, seconds of training and testing, the number of jobs, and MiB by the number of finished jobs.
    """
    memory: dict[int, float] = {}
    start = time.perf_counter()
    command = [sys.executable, str(TRAIN), *words, f"name={name}", *FIXED]
    process = subprocess.Popen(command, cwd=folder, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    while process.poll() is None:
        done = len(list(Path(folder).glob(f"outputs/{name}/*/result.json")))
        if done and done not in memory:
            memory[done] = resident(process.pid)
        time.sleep(0.05)
    seconds = time.perf_counter() - start
    if process.returncode:
        sys.exit(f"{command} ended with {process.returncode}")
    results = [json.loads(path.read_text())["seconds"] for path in Path(folder).rglob(f"outputs/{name}/**/result.json")]
    return seconds, sum(part["train"] + part["test"] for part in results), len(results), memory


def main() -> None:
    words = sys.argv[1:]
    with tempfile.TemporaryDirectory() as folder:
        run(folder, "warm", "trials=1", "epochs=1")
        once, once_training, _, _ = run(folder, "one", "-m", *words)
        seconds, training, jobs, memory = run(folder, "sweep", "-m", *GRID, *words)
    print(f"{jobs} jobs in {seconds:.1f} s, of which training and testing {training:.1f} s")
    beyond = (seconds - training - (once - once_training)) / (jobs - 1)
    print(f"each further job takes {beyond:.2f} s beyond its training, composing, files and report included")
    print(f"the first job takes {once - once_training:.1f} s beyond its training, start of the program included")
    after = {wanted: memory[min(memory, key=lambda done: abs(done - wanted))] for wanted in (8, 16, 32, 48, 64)}
    print("memory", ", ".join(f"after job {job}: {used:.0f} MiB" for job, used in after.items()))


if __name__ == "__main__":
    main()
