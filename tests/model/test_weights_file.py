from pathlib import Path

import pytest
import torch
from torch import nn

from graft.data.preprocess import PretrainedInput
from graft.errors import GraftError
from graft.model.weights_file import read_trained_on, read_weights, write_weights


def test_written_weights_are_read_with_the_input_they_were_trained_on(tmp_path: Path):
    weights, path = {"a.weight": torch.rand(2, 3)}, tmp_path / "w.safetensors"
    trained_on = PretrainedInput(32, (0.5, 0.4, 0.3), (0.2, 0.2, 0.2), "bicubic")
    write_weights(path, weights, trained_on, accuracy=0.9)
    assert torch.equal(read_weights(path)["a.weight"], weights["a.weight"])
    assert read_trained_on(path) == trained_on


@pytest.mark.parametrize(
    ("name", "content"), [("w.safetensors", b"junk"), ("w.pt", b"junk"), ("w.pt", b""), ("w.pt", None)]
)
def test_files_that_cannot_be_read(tmp_path: Path, name: str, content: bytes | None):
    if content is not None:
        (tmp_path / name).write_bytes(content)
    with pytest.raises(GraftError, match=r"source\.path=.*cannot be read as weights"):
        read_weights(tmp_path / name)


def test_code_in_a_file_is_not_run(tmp_path: Path):
    torch.save(nn.Linear(2, 2), tmp_path / "model.pt")
    with pytest.raises(GraftError, match="cannot be read as weights"):
        read_weights(tmp_path / "model.pt")
    torch.save([1, 2], tmp_path / "list.pt")
    with pytest.raises(GraftError, match="contains no state dict"):
        read_weights(tmp_path / "list.pt")
