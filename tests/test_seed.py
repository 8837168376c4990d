import gc
import tracemalloc

import torch

from graft.seed import generator, seeded, stream_seed


def test_every_seed_and_purpose_has_its_own_stream():
    streams = {stream_seed(seed, purpose) for seed in range(100) for purpose in ("draw", "order", "head")}
    assert len(streams) == 300
    assert torch.equal(torch.rand(3, generator=generator(1, "draw")), torch.rand(3, generator=generator(1, "draw")))


def test_a_seeded_block_repeats_and_restores_the_global_state():
    torch.manual_seed(5)
    expected = torch.rand(2)
    torch.manual_seed(5)
    with seeded(1, "head"):
        first = torch.rand(2)
    assert torch.equal(torch.rand(2), expected)
    with seeded(1, "head"):
        assert torch.equal(torch.rand(2), first)


def test_seeded_blocks_leave_no_memory_behind():
    def run_blocks() -> None:
        for seed in range(100):
            with seeded(seed, "head"):
                pass
        gc.collect()

    tracemalloc.start()
    try:
        run_blocks()
        before, _ = tracemalloc.get_traced_memory()
        run_blocks()
        after, _ = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert after - before < 10_000  # bytes; a traceback kept for each block would take at least a hundred times 1,000
