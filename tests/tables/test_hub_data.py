"""A data set that is loaded by its name, from a server on this machine that answers as the hub does."""

import hashlib
import http.server
import io
import json
import os
import subprocess
import sys
import threading
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

datasets = pytest.importorskip("datasets")

COMMIT, NAME = "a" * 40, "user/beans"
CARD = """---
configs:
- config_name: leaves
  data_files:
  - {split: train, path: leaves-train*}
  - {split: test, path: leaves-test*}
- config_name: pods
  data_files: pods*
---
"""
LOAD = """
import json, logging, sys
logging.basicConfig(level=logging.INFO, stream=sys.stderr)
from graft.data.dataset_table import HuggingFace
from graft.errors import GraftError
said = []
for name, config in json.loads(sys.argv[1]):
    try:
        data = HuggingFace(name, config=config, big=[], small="all", small_per_class=2, cache="cache")
        read = data.images.read(data.test)[:, 0, 0, 0].tolist()
        said.append([data.class_names, len(data.images.labels), sorted(read)])
    except GraftError as error:
        said.append(str(error))
print(json.dumps(said))
"""


def parquet(first: int, count: int) -> bytes:
    """Return a file of gray pictures, each of its own value, in turn cats and dogs."""
    features = datasets.Features({"image": datasets.Image(), "labels": datasets.ClassLabel(names=["cat", "dog"])})
    pictures = [Image.fromarray(np.full((6, 6, 3), first + number, np.uint8)) for number in range(count)]
    content = io.BytesIO()
    labels = [number % 2 for number in range(count)]
    datasets.Dataset.from_dict({"image": pictures, "labels": labels}, features).to_parquet(content)
    return content.getvalue()


@pytest.fixture(scope="module")
def hub() -> Iterator[str]:
    """Return the address of a hub that has one data set of two configurations."""
    files = {
        "README.md": CARD.encode(),
        "leaves-train.parquet": parquet(0, 12),
        "leaves-test.parquet": parquet(30, 6),
        "pods.parquet": parquet(60, 8),
    }

    class Hub(http.server.BaseHTTPRequestHandler):
        def do_HEAD(self) -> None:
            self.answer()

        def do_GET(self) -> None:
            self.answer()

        def do_POST(self) -> None:
            self.rfile.read(int(self.headers.get("content-length") or 0))
            self.answer()

        def answer(self) -> None:
            status, content, head = found(self.path.split("?")[0])
            self.send_response(status)
            for key, value in (head | {"Content-Length": str(len(content))}).items():
                self.send_header(key, value)
            self.end_headers()
            if self.command != "HEAD":
                self.wfile.write(content)

        def log_message(self, format: str, *args: object) -> None:
            pass

    def found(path: str) -> tuple[int, bytes, dict[str, str]]:
        if path.startswith(api := f"/api/datasets/{NAME}"):
            rest = path.removeprefix(api)
            if rest == "" or rest.startswith("/revision/"):
                siblings = [{"rfilename": name} for name in files]
                about = {"id": NAME, "sha": COMMIT, "private": False, "tags": [], "siblings": siblings}
                return 200, json.dumps(about).encode(), {"Content-Type": "application/json"}
            if rest.startswith("/tree/"):
                below = "/".join(rest.split("/")[3:])
                entries = [
                    {"type": "file", "oid": hashlib.sha1(content).hexdigest(), "size": len(content), "path": name}
                    for name, content in files.items()
                    if name.startswith(below)
                ]
                return 200, json.dumps(entries).encode(), {"Content-Type": "application/json"}
        name = path.removeprefix(f"/datasets/{NAME}/resolve/").partition("/")[2]
        if name in files and path.startswith(f"/datasets/{NAME}/"):
            etag = hashlib.sha1(files[name]).hexdigest()
            return 200, files[name], {"ETag": f'"{etag}"', "X-Repo-Commit": COMMIT}
        missing = "EntryNotFound" if NAME in path else "RepoNotFound"
        return 404, b'{"error": "not found"}', {"X-Error-Code": missing, "X-Repo-Commit": COMMIT}

    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Hub)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    yield f"http://127.0.0.1:{server.server_port}"
    server.shutdown()
    server.server_close()


def load(address: str, folder: Path, *wanted: tuple[str, str | None]) -> tuple[list, str]:
    """Return what is loaded of each data set, or the error's text, and what was said meanwhile."""
    env = {key: value for key, value in os.environ.items() if not key.startswith(("HF_", "HUGGINGFACE"))}
    env |= {"HF_ENDPOINT": address, "HF_HOME": str(folder / "home"), "no_proxy": "127.0.0.1"}
    env["PYTHONPATH"] = os.pathsep.join(sys.path)
    command = [sys.executable, "-c", LOAD, json.dumps(wanted)]
    done = subprocess.run(command, cwd=folder, env=env, capture_output=True, text=True, timeout=300, check=False)
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout), done.stderr


@pytest.mark.slow
def test_a_name_on_the_hub(hub: str, tmp_path: Path):
    wanted = [(NAME, "leaves"), (NAME, "pods"), (NAME, "roots"), (NAME, None), ("user/bean", None)]
    (leaves, pods, roots, none, wrong), said = load(hub, tmp_path, *wanted)
    assert leaves == [["cat", "dog"], 18, [30, 31, 32, 33, 34, 35]]  # the test split of the hub
    assert pods[:2] == [["cat", "dog"], 8]
    for text in (roots, none):
        assert "dataset.config" in text
        assert "leaves, pods" in text
        assert "try dataset.config=leaves" in text
    assert "the hub http://127.0.0.1" in wrong
    assert "has no such data set" in wrong
    assert "HTTP Request" not in said  # httpx has a line for each
    assert "it is looked for on the hub" in said


@pytest.mark.slow  # the hub's own library tries again for about 20 s
def test_a_hub_that_cannot_be_reached(tmp_path: Path):
    (text,), _ = load("http://127.0.0.1:9", tmp_path, (NAME, None))
    assert "the hub http://127.0.0.1:9 cannot be reached" in text
    assert "HF_HUB_OFFLINE" in text
