import argparse
import contextlib
import functools
import io
import os
import pathlib
import pickle
import zipfile
from pathlib import Path

import numpy as np
import pytest
import torch
from omegaconf import OmegaConf
from safetensors.torch import save, save_file
from torch import nn

from graft.data.preprocess import PretrainedInput
from graft.errors import GraftError
from graft.model.weights_file import load, read_trained_on, read_weights, write_weights

WEIGHTS = {"a.weight": torch.arange(6.0).view(2, 3)}


def same(found: dict[str, torch.Tensor]) -> bool:
    return found.keys() == WEIGHTS.keys() and torch.equal(found["a.weight"], WEIGHTS["a.weight"])


@pytest.mark.parametrize("name", ["w.safetensors", "w.pt", "w.pth.tar", "w.bin", "w", "w.ckpt"])
@pytest.mark.parametrize(
    "write", [save_file, torch.save, functools.partial(torch.save, _use_new_zipfile_serialization=False)]
)
def test_the_content_says_what_a_file_is_not_its_suffix(tmp_path: Path, name: str, write):
    write(WEIGHTS, tmp_path / name)
    assert same(load(tmp_path / name))


HYPER_PARAMETERS = {
    "path": pathlib.PosixPath("/data"),
    "pure": pathlib.PureWindowsPath("C:/data"),
    "number": np.float64(0.1),
    "count": np.int64(3),
    "array": np.arange(3),
    "options": argparse.Namespace(lr=0.1),
    "config": OmegaConf.create({"lr": 0.1, "sizes": [1, 2], "name": "x"}),
    "list": OmegaConf.create([1, 2]),
    "optimizer": functools.partial(torch.optim.Adam, lr=0.1),
    "class": torch.optim.SGD,
    "module": nn.Linear(2, 2),
    "dtype": torch.float16,
    "exception": ValueError("x"),
}


@pytest.mark.parametrize("value", HYPER_PARAMETERS.values(), ids=list(HYPER_PARAMETERS))
@pytest.mark.parametrize("zipped", [True, False])
def test_weights_beside_any_object_are_loaded(tmp_path: Path, value: object, zipped: bool):
    content = {"state_dict": WEIGHTS, "hyper_parameters": {"value": value, "lr": 0.1}, "epoch": 3}
    if isinstance(value, nn.Module) and not zipped:
        pytest.skip("the old format stores the module's source beside it")
    torch.save(content, tmp_path / "last.ckpt", _use_new_zipfile_serialization=zipped)
    found = load(tmp_path / "last.ckpt")
    assert same(found["state_dict"])
    assert found["hyper_parameters"]["lr"] == 0.1


class Evil:
    def __init__(self, call: tuple):
        self.call = call

    def __reduce__(self) -> tuple:
        return self.call


@pytest.mark.parametrize("zipped", [True, False])
@pytest.mark.parametrize("function", [os.mkdir, os.system, eval, exec, pathlib.Path.mkdir])
def test_no_code_in_a_file_is_run(tmp_path: Path, function, zipped: bool):
    target = tmp_path / "made"
    words = {os.system: f"mkdir {target}", eval: f"__import__('os').mkdir({str(target)!r})"}
    words[exec] = words[eval]
    evil = Evil((function, (words.get(function, target if function is pathlib.Path.mkdir else str(target)),)))
    torch.save({"state_dict": WEIGHTS, "evil": evil}, tmp_path / "w.pt", _use_new_zipfile_serialization=zipped)
    with contextlib.suppress(GraftError):  # PyTorch refuses whatever is in `os`
        assert same(load(tmp_path / "w.pt")["state_dict"])
    assert not target.exists()
    with (tmp_path / "w.pt").open("rb") as file:  # the file is as evil as it should be
        torch.load(file, weights_only=False)
    assert target.exists()


def zipped(*names: str) -> bytes:
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as archive:
        for name in names:
            archive.writestr(name, "x")
    return buffer.getvalue()


def scripted() -> bytes:
    buffer = io.BytesIO()
    torch.jit.save(torch.jit.trace(nn.Linear(2, 2), torch.ones(1, 2)), buffer)
    return buffer.getvalue()


def arrays() -> bytes:
    buffer = io.BytesIO()
    np.savez(buffer, a=np.ones(3))
    return buffer.getvalue()


@pytest.mark.parametrize(
    ("name", "content", "kind"),
    [
        ("model.h5", b"\x89HDF\r\n\x1a\n" + bytes(99), "an HDF5 file, as Keras writes it, which cannot be read"),
        ("model.keras", zipped("metadata.json", "config.json", "model.weights.h5"), "a Keras model"),
        ("model.onnx", b"\x08\x07\x12\x07pytorch", "an ONNX model"),
        ("w.npz", arrays(), "an archive of NumPy's arrays"),
        ("w.zip", zipped("weights.pt"), "an archive of other files"),
        ("w.pt", b"version https://git-lfs.github.com/spec/v1\noid sha256:0\n", "a pointer of Git LFS"),
        ("w.pth", b"<!DOCTYPE html>", "a web page"),
        ("w.pth.tar.gz", b"\x1f\x8b\x08" + bytes(99), "compressed by gzip"),
        ("w.pt", scripted(), "a TorchScript program"),
        ("w.pt", b"", "is empty"),
        ("w.pt", b"junk", "cannot be read as weights"),
        ("w.safetensors", b"junk", "cannot be read as weights"),
        ("w.safetensors", save(WEIGHTS)[:-4], "cannot be read as weights"),
        ("w.pkl", pickle.dumps({"a": np.ones(3)}), "cannot be read as weights"),
        ("w.npy", b"\x93NUMPY" + bytes(99), "cannot be read as weights"),
        ("w.index.json", b'{"weight_map": {}}', "cannot be read as weights"),
    ],
    ids=lambda value: value if isinstance(value, str) else "content",  # TorchScript may write other bytes each time
)
def test_other_files_are_refused_in_one_plain_sentence(tmp_path: Path, name: str, content: bytes, kind: str):
    (tmp_path / name).write_bytes(content)
    with pytest.raises(GraftError) as caught:
        load(tmp_path / name)
    message = str(caught.value)
    assert kind in message
    assert message.startswith(f"source.path={tmp_path / name} ")
    assert message.endswith('try torch.save(model.state_dict(), "weights.pt") in PyTorch')
    assert "\n" not in message
    assert "\x1b" not in message
    assert len(message) - len(str(tmp_path)) < 250


def test_a_truncated_checkpoint_and_one_of_another_protocol_are_refused(tmp_path: Path):
    torch.save(WEIGHTS, tmp_path / "w.pt")
    (tmp_path / "cut.pt").write_bytes((tmp_path / "w.pt").read_bytes()[:-300])
    torch.save({"w": WEIGHTS, "path": Path("x")}, tmp_path / "new.pt", pickle_protocol=4)
    with pytest.raises(GraftError, match=r"is cut off, .* which cannot be read as weights; try torch\.save"):
        load(tmp_path / "cut.pt")
    with pytest.raises(GraftError, match=r"cannot be read as weights \([^\x1b\n]*\); try torch\.save"):
        load(tmp_path / "new.pt")


def test_what_is_no_file_is_said(tmp_path: Path):
    with pytest.raises(GraftError, match=r"source\.path=.* is a folder"):
        load(tmp_path)
    with pytest.raises(GraftError, match=r"source\.path=.*nowhere\.pt does not exist"):
        load(tmp_path / "nowhere.pt")
    os.mkfifo(tmp_path / "pipe")  # to read it would wait for a writer
    for read in (load, read_trained_on):
        with pytest.raises(GraftError, match=r"source\.path=.*pipe is no regular file"):
            read(tmp_path / "pipe")


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
