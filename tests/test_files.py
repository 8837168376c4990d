import importlib
import os
from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from torch import nn

from graft.files import (
    fingerprint,
    num_bytes,
    read_tensors,
    remove_leftovers,
    write_bytes,
    write_tensors,
    write_text,
)


def test_a_failed_write_leaves_the_old_file_and_nothing_else(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    path = tmp_path / "file"
    write_text(path, "old")

    def full(_: int) -> None:
        raise OSError("No space left on device")

    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(OSError, match="No space"):
        write_bytes(path, b"new")
    assert path.read_text() == "old"
    assert list(tmp_path.iterdir()) == [path]


def test_temporary_files_of_killed_processes_are_removed(tmp_path: Path):
    for name in ("result.json", ".result.json.abcd_123", ".hidden", ".hydra.config"):
        (tmp_path / name).touch()
    remove_leftovers(tmp_path)
    assert sorted(path.name for path in tmp_path.iterdir()) == [".hidden", ".hydra.config", "result.json"]


def test_bytes_are_counted_over_all_tensors():
    assert num_bytes({"a": torch.zeros(3, 4), "b": torch.zeros(5, dtype=torch.uint8)}) == 3 * 4 * 4 + 5


def test_tensors_are_read_as_written_and_damage_is_detected(tmp_path: Path):
    tensors = {"a": torch.rand(3, 4).T, "b": torch.arange(5)}
    path = tmp_path / "new" / "tensors.safetensors"
    write_tensors(path, tensors)
    back = read_tensors(path)
    assert back is not None
    assert all(torch.equal(back[name], tensors[name]) for name in tensors)
    content = bytearray(path.read_bytes())
    content[-3] ^= 4
    path.write_bytes(content)
    assert read_tensors(path) is None
    assert read_tensors(tmp_path / "absent") is None


def test_fingerprints_depend_on_values_shapes_and_types_but_not_on_the_order_of_names():
    x = torch.arange(6)
    different = [x, x.view(2, 3), x.int(), x.flip(0), {"x": x}, {"y": x}, "x", ("x", "y")]
    assert len({fingerprint(item) for item in different}) == len(different)
    assert fingerprint("ab", "c") != fingerprint("a", "bc")
    assert fingerprint({"a": x, "b": x + 1}) == fingerprint({"b": x + 1, "a": x})
    assert fingerprint(x.view(2, 3).T) == fingerprint(x.view(2, 3).T.contiguous())


def test_a_module_of_the_user_s_own_class_is_its_source_too(edit: Callable[[str], None]):
    def found() -> str:
        ours = importlib.import_module("ours")
        return fingerprint(nn.Sequential(nn.ReLU(), ours.Scale()))

    source = "from torch import nn\nclass Scale(nn.Module):\n  def forward(self, x): return {} * x\n"
    edit(source.format(2))
    first = found()
    assert first == found()
    edit(source.format(3))
    assert first != found()
