"""What a job costs beyond its training, and whether memory stays flat, in a sweep of 64 jobs on stored features.

python tests/benchmarks/sweep.py [key=value ...], for instance epochs=10. The sweep runs from the command line, in one
process, on the bundled digits; a first run of a single job pre-trains the backbone, so that the sweep does not.
"""

import json
import subprocess
import sys
import tempfile
import time
from pathlib import Path

TRAIN = Path(__file__).parent.parent.parent / "src" / "train.py"
GRID = ("head=plain,dense", "dropout=0,0.2,0.4,0.6", "activation=relu,tanh", "width=16,32,64,128")
FIXED = ("backbone.activation=relu", "name=sweep")


def resident(process: int) -> float:
    """Return a process's resident memory in MiB."""
    return int(Path(f"/proc/{process}/statm").read_text().split()[1]) * 4096 / 2**20


def main() -> None:
    words = sys.argv[1:]
    with tempfile.TemporaryDirectory() as folder:
        warm = [sys.executable, str(TRAIN), "trials=1", "epochs=1", "name=warm", "backbone.activation=relu"]
        subprocess.run(warm, cwd=folder, check=True, capture_output=True)
        memory: dict[int, float] = {}
        start = time.perf_counter()
        command = [sys.executable, str(TRAIN), "-m", *GRID, *FIXED, *words]
        process = subprocess.Popen(command, cwd=folder, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        while process.poll() is None:
            done = len(list(Path(folder).glob("outputs/sweep/*/result.json")))
            if done and done not in memory:
                memory[done] = resident(process.pid)
            time.sleep(0.05)
        end = time.perf_counter()
        results = [json.loads(path.read_text()) for path in Path(folder).glob("outputs/sweep/*/result.json")]
    seconds = [result["seconds"] for result in results]
    training = sum(part["train"] + part["test"] for part in seconds)
    inside = sum(part["total"] for part in seconds) - training
    print(f"{len(results)} jobs in {end - start:.1f} s, of which training and tests {training:.1f} s")
    whole = (end - start - training) / len(results)
    print(f"beyond its training, a job takes {inside / len(results):.2f} s; with Hydra, start and report {whole:.2f} s")
    after = {wanted: memory[min(memory, key=lambda done: abs(done - wanted))] for wanted in (8, 32, 40, 64)}
    print("memory", ", ".join(f"after job {job}: {used:.0f} MiB" for job, used in after.items()))


if __name__ == "__main__":
    main()
