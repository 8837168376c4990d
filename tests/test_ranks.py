"""What two ranks exchange, and that a process alone exchanges nothing."""

from pathlib import Path

import pytest
import pytorch_lightning as pl
import torch
from filelock import FileLock, Timeout

from graft import ranks
from graft.run.launch import join, launch, strategy


def test_a_process_alone_is_rank_0_of_1_and_exchanges_nothing(tmp_path: Path):
    value, tensor = object(), torch.rand(2, 3)
    assert (ranks.rank(), ranks.world_size()) == (0, 1)
    assert ranks.broadcast_object(value) is value
    assert ranks.all_gather_object(value) == [value]
    assert ranks.all_gather(tensor) is tensor
    before = torch.random.get_rng_state()
    ranks.seed_rank(0, "dropout")
    assert torch.equal(torch.random.get_rng_state(), before)
    with ranks.locked(tmp_path / "lock", "features"), pytest.raises(Timeout):
        FileLock(tmp_path / "lock").acquire(timeout=0)
    with FileLock(tmp_path / "lock", timeout=0):
        pass


def exchange(folder: Path) -> None:
    """Exchange values with the other rank, and save the results."""
    join(pl.Trainer(accelerator="cpu", devices=2, strategy=strategy(), logger=False, enable_checkpointing=False))
    rank = ranks.rank()
    torch.manual_seed(0)
    ranks.seed_rank(0, "dropout")
    with ranks.rank_0_first():
        seen = sorted(path.name for path in folder.glob("first_*"))
        (folder / f"first_{rank}").touch()
    with ranks.locked(folder / "lock", "features"):
        try:
            FileLock(folder / "lock").acquire(timeout=0)
            locked = False
        except Timeout:
            locked = True
        ranks.broadcast_object(None)  # rank 0 keeps the lock until both have tried
    parts = torch.full([3 - rank, 2], float(rank))
    torch.save(
        {
            "world_size": ranks.world_size(),
            "broadcast": ranks.broadcast_object(f"of rank {rank}"),
            "objects": ranks.all_gather_object({"rank": rank}),
            "rows": ranks.all_gather(parts),
            "columns": ranks.all_gather(parts.T, 1),
            "empty": ranks.all_gather(torch.zeros(0 if rank else 3, 2)),
            "random": torch.rand(4),
            "seen": seen,
            "locked": locked,
        },
        folder / f"{rank}.pt",
    )


@pytest.mark.slow
def test_two_ranks_exchange_objects_and_tensors_of_different_lengths(tmp_path: Path):
    launch(exchange, 2, tmp_path)
    first, second = (torch.load(tmp_path / f"{rank}.pt") for rank in (0, 1))
    rows = torch.tensor([[0.0, 0.0]] * 3 + [[1.0, 1.0]] * 2)
    for saved in (first, second):
        assert saved["world_size"] == 2
        assert saved["broadcast"] == "of rank 0"
        assert saved["objects"] == [{"rank": 0}, {"rank": 1}]
        assert torch.equal(saved["rows"], rows)
        assert torch.equal(saved["columns"], rows.T)
        assert saved["empty"].shape == (3, 2)
        assert saved["locked"]
    assert not torch.equal(first["random"], second["random"])
    assert "first_0" not in first["seen"]
    assert "first_0" in second["seen"]
