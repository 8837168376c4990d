import importlib
import os
import threading
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import nn

from graft import files
from graft.errors import GraftError
from graft.files import (
    check_writable,
    fingerprint,
    locked_file,
    new_folder,
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


def test_a_folder_appears_when_it_is_whole(tmp_path: Path):
    with new_folder(tmp_path / "new" / "job") as folder:
        (folder / "a").write_text("a")
        assert not (tmp_path / "new" / "job").exists()
    assert [path.read_text() for path in (tmp_path / "new" / "job").iterdir()] == ["a"]
    assert (tmp_path / "new" / "job").stat().st_mode & 0o777 == 0o755
    with pytest.raises(GraftError, match="job exists; try another folder"), new_folder(tmp_path / "new" / "job"):
        raise AssertionError
    with pytest.raises(KeyError), new_folder(tmp_path / "new" / "failed"):
        raise KeyError
    with pytest.raises(GraftError, match=r"cannot be written \(No such file"), new_folder(Path("/proc/job")):
        raise AssertionError
    (tmp_path / "file").touch()
    with pytest.raises(GraftError, match=r"cannot be written \(.*\); try another folder"):  # noqa: SIM117
        with new_folder(tmp_path / "file" / "job"):
            raise AssertionError
    assert [path.name for path in (tmp_path / "new").iterdir()] == ["job"]


@pytest.mark.parametrize("place", ["/proc/x", "/proc/x/y.csv", "file/x.csv", "file/x/y.csv"])
def test_a_place_that_cannot_be_written_is_refused(tmp_path: Path, place: str):
    (tmp_path / "file").touch()
    with pytest.raises(GraftError, match=r"output=.* cannot be written \(.+\); try another place"):
        check_writable("output", tmp_path / place)  # an absolute place stays as it is


def test_a_place_that_can_be_written_has_nothing_afterwards(tmp_path: Path):
    check_writable("output", tmp_path / "new" / "x.csv")
    check_writable("output", tmp_path)
    assert [path.name for path in tmp_path.iterdir()] == ["new"]
    assert not list((tmp_path / "new").iterdir())


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


@pytest.mark.skipif(not Path("/proc/self/maps").exists(), reason="no list of mapped files")
@pytest.mark.parametrize("keeps", [False, True])
def test_where_mapped_files_cannot_be_replaced_tensors_are_copies(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, keeps: bool
):
    monkeypatch.setattr(files, "KEEPS_MAPPED", keeps)  # as on Windows
    path = tmp_path / "tensors.safetensors"
    write_tensors(path, {"a": torch.arange(100_000)})
    back = read_tensors(path)
    assert back is not None
    assert (str(path) in Path("/proc/self/maps").read_text()) != keeps
    assert torch.equal(back["a"], torch.arange(100_000))


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


def test_a_module_of_the_user_s_own_class_is_its_attributes_too(edit: Callable[[str], None]):
    edit(
        "import torch\nclass Scale(torch.nn.Module):\n  def __init__(self, value):\n    super().__init__()\n"
        "    if isinstance(value, torch.Tensor):\n      self.register_buffer('value', value, persistent=False)\n"
        "    else:\n      self.value = value\n"
    )
    ours = importlib.import_module("ours")
    long = [np.arange(2000), np.arange(2000)]
    long[1][1000] = 0  # where NumPy writes an ellipsis
    values = [1, 2, "1", None, [1, 2], [2, 1], {"a": 1}, torch.ones(2), torch.zeros(2), *long, torch.sin, torch.cos]
    found = [fingerprint(nn.Sequential(nn.ReLU(), ours.Scale(value))) for value in values]
    assert len(set(found)) == len(values)
    assert found == [fingerprint(nn.Sequential(nn.ReLU(), ours.Scale(value))) for value in values]
    assert fingerprint(ours.Scale(object())) == fingerprint(ours.Scale(object()))  # another address


def test_a_process_says_what_it_waits_for(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog):
    caplog.set_level("INFO", "graft")
    monkeypatch.setattr(files, "SILENT", 0)
    entered = threading.Event()

    def enter() -> None:
        with locked_file(tmp_path / "lock", "the job a"):
            entered.set()

    with locked_file(tmp_path / "lock", "the job a"):
        assert not caplog.messages
        other = threading.Thread(target=enter)
        other.start()
        assert not entered.wait(0.3)
    other.join(10)
    assert entered.is_set()
    assert caplog.messages == [f"waiting for another process, which works on the job a ({tmp_path / 'lock'})"]
    with locked_file(tmp_path / "lock", "the job a"):
        assert len(caplog.messages) == 1
