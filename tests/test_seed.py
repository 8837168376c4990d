import torch

from graft.seed import generator, seeded, stream_seed


def test_every_seed_and_purpose_has_its_own_stream():
    streams = {stream_seed(seed, purpose) for seed in range(100) for purpose in ("draw", "order", "head")}
    assert len(streams) == 300
    assert torch.equal(torch.rand(3, generator=generator(1, "draw")), torch.rand(3, generator=generator(1, "draw")))


def test_a_seeded_block_repeats_and_leaves_the_global_state_alone():
    torch.manual_seed(5)
    expected = torch.rand(2)
    torch.manual_seed(5)
    with seeded(1, "head"):
        first = torch.rand(2)
    assert torch.equal(torch.rand(2), expected)
    with seeded(1, "head"):
        assert torch.equal(torch.rand(2), first)


def test_seeding_leaves_nothing_behind_where_there_is_no_gpu():
    before = len(torch.cuda._queued_calls)
    for seed in range(5):
        with seeded(seed, "head"):
            pass
    assert torch.cuda.is_available() or len(torch.cuda._queued_calls) == before
