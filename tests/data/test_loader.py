import torch

from graft.data.augment import Distort
from graft.data.loader import (
    AugmentedLoader,
    EvaluationViewsLoader,
    Examples,
    Share,
    StoredViewsLoader,
    TrainLoader,
    TrialLoader,
)

INPUTS = torch.arange(40.0)[:, None]
LABELS = torch.arange(40) % 4
ROWS = torch.stack([torch.arange(0, 10), torch.arange(20, 30)])
EXAMPLES = Examples(INPUTS, LABELS, ROWS)


def epoch(batches: TrialLoader) -> torch.Tensor:
    return torch.cat([batch.inputs[..., 0] for batch in batches], dim=1)


def batches(seeds: list[int], rows: torch.Tensor = ROWS, size: int = 4) -> TrainLoader:
    return TrainLoader(Examples(INPUTS, LABELS, rows), size, seeds)


def test_each_epoch_shows_each_trial_its_own_images_once():
    assert torch.equal(epoch(batches([1, 2])).long().sort(dim=1).values, ROWS)


def test_batches_hold_all_trials_and_their_labels():
    shapes = []
    for inputs, labels, *_ in batches([1, 2]):
        shapes.append(tuple(inputs.shape))
        assert torch.equal(labels, inputs[..., 0].long() % 4)
    assert shapes == [(2, 4, 1), (2, 4, 1), (2, 2, 1)]
    assert len(batches([1, 2])) == 3


def test_the_order_is_new_each_epoch_and_the_trial_s_own():
    both, alone = batches([1, 2]), batches([2], ROWS[1:])
    first, second = epoch(both), epoch(both)
    assert not torch.equal(first, second)
    assert not torch.equal(first[0] + 20, first[1])
    assert torch.equal(first[1:], epoch(alone))
    assert torch.equal(second[1:], epoch(alone))


def test_evaluation_keeps_the_order():
    assert torch.equal(epoch(TrialLoader("val", EXAMPLES, 4)).long(), ROWS)


def test_a_last_batch_of_one_joins_the_one_before():
    assert batches([1, 2], ROWS[:, :9]).bounds == [(0, 4), (4, 9)]
    assert batches([1, 2], ROWS[:, :1]).bounds == [(0, 1)]
    assert batches([1, 2], ROWS[:, :3], size=100).bounds == [(0, 3)]


def test_a_batch_says_whose_it_is():
    (batch, *_) = TrialLoader("val", EXAMPLES, 4, stored=True)
    assert (batch.split, batch.stored, batch.num_counted, batch.weight) == ("val", True, 4, 1.0)


def test_stored_views_keep_their_images_labels():
    views = torch.arange(120.0)[:, None]  # all first views, all second ones, all third ones
    loader = StoredViewsLoader(3, Examples(views, LABELS, ROWS), 4, [1, 2])
    seen = []
    for inputs, labels, *_ in loader:
        image = inputs[..., 0].long() % 40
        assert torch.equal(labels, image % 4)
        seen.append(inputs[..., 0].long())
    drawn = torch.cat(seen, 1)
    assert torch.equal((drawn % 40).sort(1).values, ROWS)
    assert set((drawn // 40).flatten().tolist()) == {0, 1, 2}
    assert not torch.equal(epoch(loader).long(), drawn)


def test_images_are_augmented_anew_in_each_epoch_by_the_trial_s_own_numbers():
    images = torch.full([40, 1, 6, 6], 100.0)
    both = AugmentedLoader(Distort(noise=0.2), Examples(images, LABELS, ROWS), 4, [1, 2])
    alone = AugmentedLoader(Distort(noise=0.2), Examples(images, LABELS, ROWS[1:]), 4, [2])
    first, second, one = (torch.cat([batch.inputs for batch in loader], 1) for loader in (both, both, alone))
    assert not torch.equal(first, second)
    assert torch.equal(first[1:], one)
    assert len(both.generators) == 4  # two orders and two augmentations


def test_test_time_views_follow_their_images():
    loader = TrialLoader("test", Examples(INPUTS, LABELS, ROWS[:1]), 6)
    views = torch.cat([1000 + INPUTS, 2000 + INPUTS])
    (first, *_) = viewed = list(EvaluationViewsLoader(loader, views))
    assert first.split == "test_views"
    assert first.inputs[0, :, 0].tolist() == [0, 1, 1000, 1001, 2000, 2001]
    assert sum(batch.labels.shape[1] for batch in viewed) == 10


def test_ranks_without_an_image_do_not_count_the_one_they_get():
    parts = [
        list(TrialLoader("train", Examples(INPUTS, LABELS, ROWS[:, :2]), 2, share=Share(rank, 3))) for rank in range(3)
    ]
    assert sum(part[0].num_counted or 0 for part in parts) == 2
    assert all(part[0].inputs.shape[1] == 1 for part in parts)
    assert sum(part[0].weight for part in parts) == 3
