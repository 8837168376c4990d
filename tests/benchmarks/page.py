"""Seconds and memory of the page of a large sweep: made-up outcomes, written by Graft's own writer.

python tests/benchmarks/page.py [--jobs 64] [--trials 15] [--images 10000] [--classes 10] writes the jobs into a
temporary folder, makes the page in a process of its own, and prints the seconds of each part and the most memory.
"""

import argparse
import subprocess
import sys
import tempfile
import time
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[1]))  # stored_jobs is beside the tests

from stored_jobs import store_job

MEASURED = """
import resource, sys, time
from pathlib import Path
begun = time.perf_counter()
from graft.page.show import show_page
from graft.report.compare import compare_jobs
parts = {"import": time.perf_counter() - begun}
folder, begun = Path(sys.argv[1]), time.perf_counter()
report = compare_jobs([folder])
parts["read and compare"], begun = time.perf_counter() - begun, time.perf_counter()
show_page(report, folder)
parts["page"] = time.perf_counter() - begun
print(", ".join(f"{name} {seconds:.1f} s" for name, seconds in parts.items()))
print(f"most memory {resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**20:.2f} GiB")
print(f"page {(folder / 'report.html').stat().st_size / 1e6:.2f} MB")
"""


def main() -> None:
    """Write the jobs, and measure."""
    parser = argparse.ArgumentParser(description=__doc__)
    for name, count in (("jobs", 64), ("trials", 15), ("images", 10_000), ("classes", 10)):
        parser.add_argument(f"--{name}", type=int, default=count)
    given = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        begun, names = time.perf_counter(), [f"class {number}" for number in range(given.classes)]
        for job in range(given.jobs):
            setting = {"dropout": f"0.{job // 8}", "lr": f"{10**-3 * (1 + job % 8):g}"}
            store_job(Path(folder), setting, names, given.trials, given.images, 2 + job / 100)
        print(f"{given.jobs} jobs x {given.trials} trials x {given.images:,} images: {given.classes} classes")
        print(f"written in {time.perf_counter() - begun:.1f} s")
        subprocess.run([sys.executable, "-c", MEASURED, folder], check=True)


if __name__ == "__main__":
    main()
