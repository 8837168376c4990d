"""Where the configuration is found: in a checkout, and in a wheel, which has no folder beside src/."""

import json
import os
import shutil
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest
from conftest import ROOT

from graft.api.conf_folder import CONF

USE = """
import json, numpy, graft
from graft.api.conf_folder import CONF
images = numpy.random.default_rng(0).integers(0, 256, (20, 12, 12), dtype="uint8")
data = graft.arrays(images, [0, 1] * 10, small_per_class=5)
words = ["source=scratch", "backbone=cnn", "head=plain", "dataset.size=28", "trials=1", "epochs=1"]
job = graft.run([*data.words(), *words], name="job").best
print(json.dumps([graft.__file__, str(CONF), job.config["dataset"]["_target_"], len(job.result["trials"])]))
"""


def test_a_checkout_has_it_beside_src():
    assert CONF == ROOT / "conf"
    assert (CONF / "train.yaml").is_file()


@pytest.mark.slow
def test_a_wheel_has_it_inside_the_package(tmp_path: Path):
    build = [sys.executable, "-m", "pip", "wheel", ".", "--no-deps", "--no-build-isolation", "--no-index"]
    done = subprocess.run([*build, "-w", tmp_path], cwd=copied(tmp_path), capture_output=True, text=True, timeout=300)
    assert done.returncode == 0, done.stderr
    (wheel,) = tmp_path.glob("graft-*.whl")
    names = set(zipfile.ZipFile(wheel).namelist())
    ours = {f"graft/{path.relative_to(ROOT)}" for path in (ROOT / "conf").rglob("*.yaml")}
    templates = ROOT / "src" / "graft" / "page" / "templates"
    ours |= {f"graft/page/templates/{path.name}" for path in templates.iterdir()}
    assert len(ours) > len(list(templates.iterdir())) > 3
    assert ours <= names
    zipfile.ZipFile(wheel).extractall(tmp_path / "installed")
    environment = os.environ | {"PYTHONPATH": str(tmp_path / "installed"), "GRAFT_CACHE": str(tmp_path / "cache")}
    used = subprocess.run(
        [sys.executable, "-c", USE], cwd=tmp_path, env=environment, capture_output=True, text=True, timeout=300
    )
    assert used.returncode == 0, used.stderr
    package = tmp_path / "installed" / "graft"
    assert json.loads(used.stdout) == [str(package / "__init__.py"), str(package / "conf"), "graft.dataset.Arrays", 1]


def copied(tmp_path: Path) -> Path:
    """Return a copy of what is built, so that no build folder is left in the checkout."""
    (tmp_path / "checkout").mkdir()
    for name in ("pyproject.toml", "setup.py", "MANIFEST.in", "README.md"):
        shutil.copy(ROOT / name, tmp_path / "checkout" / name)
    for name in ("src", "conf"):
        ignored = shutil.ignore_patterns("__pycache__", "*.egg-info")
        shutil.copytree(ROOT / name, tmp_path / "checkout" / name, ignore=ignored)
    return tmp_path / "checkout"
