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


def test_a_checkpoint_s_tensors_have_the_keys_above_them_in_their_names(tmp_path: Path):
    optimizer = {"state": {0: {"exp_avg": torch.ones(1)}}, "param_groups": [{"lr": 0.1}]}
    ema = {"n_averaged": torch.tensor(3), "module": {"a.weight": torch.ones(2)}}
    content = {"state_dict": {"a.weight": torch.zeros(2)}, "ema": ema, "optimizer": optimizer, "epoch": 3}
    torch.save(content, tmp_path / "w.pt")
    assert list(read_weights(tmp_path / "w.pt")) == ["state_dict.a.weight", "ema.n_averaged", "ema.module.a.weight"]


@pytest.mark.parametrize("wrap", [lambda module: module, lambda module: {"model": module, "ema": None, "epoch": 3}])
def test_a_whole_module_is_not_loaded(tmp_path: Path, wrap):
    torch.save(wrap(nn.Sequential(nn.Linear(2, 2))), tmp_path / "model.pt")
    expected = (
        r"a whole module, torch\.nn\.modules\.container\.Sequential, which could run code .*model\.state_dict\(\)"
    )
    with pytest.raises(GraftError, match=expected):
        read_weights(tmp_path / "model.pt")


@pytest.mark.parametrize("content", [[1, 2], {"epoch": 3}, {"state_dict": {}}, torch.ones(3)])
def test_files_without_names_of_tensors_are_refused(tmp_path: Path, content: object):
    torch.save(content, tmp_path / "list.pt")
    with pytest.raises(GraftError, match=r"contains no state dict; try torch\.save"):
        read_weights(tmp_path / "list.pt")
