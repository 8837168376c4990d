import torch

from graft.data.augment import Distort
from graft.data.datamodule import BigDataModule, Inputs, SmallDataModule
from graft.data.dataset import MNIST5k
from graft.data.loader import AugmentedLoader, StoredViewsLoader, TrainLoader


def test_the_big_split_is_one_trial_over_all_big_images(digits: MNIST5k):
    split = BigDataModule(digits, batch_size=128, seed=0)
    split.setup("fit")
    inputs, labels, *_ = next(iter(split.train_dataloader()))
    assert inputs.shape == (1, 128, 1, 28, 28)
    assert labels.max() == 4
    assert split.rows["train"].shape == (1, 2500)


def test_the_small_split_numbers_its_classes_from_0(digits: MNIST5k):
    split = SmallDataModule(digits, [0, 1, 2], batch_size=4)
    split.setup("fit")
    assert split.labels[split.rows["train"]].tolist() == [[i // 20 for i in range(100)]] * 3
    assert torch.equal(split.images[split.rows["train"][1]], digits.sample(1)[0])
    (test,) = split.test_dataloader()
    assert sum(batch.labels.shape[1] for batch in test) == 1250
    assert {len(batch.inputs) for batch in test} == {1}  # shared by all trials


def test_draws_and_streams_may_have_seeds_of_their_own(digits: MNIST5k):
    def loaded(
        draws: list[int] | None = None, streams: list[int] | None = None
    ) -> tuple[SmallDataModule, list[torch.Tensor]]:
        split = SmallDataModule(digits, [3, 4], batch_size=4, draws=draws, streams=streams)
        split.setup("fit")
        return split, [batch.labels for batch in split.train_dataloader()]

    (own, order), (drawn, drawn_order), (one, one_order) = loaded(), loaded(streams=[3, 3]), loaded(draws=[3, 3])
    assert own.seeds == drawn.seeds == one.seeds == [3, 4]
    assert torch.equal(own.rows["train"], drawn.rows["train"])
    assert torch.equal(one.images[one.rows["train"]], digits.sample(3)[0].expand(2, -1))
    # Labels are sorted in a draw, so that equal orders give equal labels.
    assert all(torch.equal(labels[0], labels[1]) for labels in drawn_order)
    assert all(torch.equal(first, second) for first, second in zip(order, one_order, strict=True))
    assert not all(torch.equal(labels[0], labels[1]) for labels in order)
    assert (drawn.chunk(range(1, 2)).seeds, drawn.chunk(range(1, 2)).streams) == ([4], [3])


def test_curves_come_from_validation_and_if_wanted_from_test_images():
    data = MNIST5k(big=[0], small=[1, 3], test_per_class=250, val_per_class=5)
    both, one = (SmallDataModule(data, [0], 4, test_curve=test_curve) for test_curve in (True, False))
    for module in (both, one):
        module.setup("fit")
    assert [loader.split for loader in both.val_dataloader()] == ["val", "test"]
    assert [loader.split for loader in one.val_dataloader()] == ["val"]
    assert [loader.split for loader in one.test_dataloader()] == ["val", "test"]


def test_a_chunk_is_the_same_data_for_some_trials(digits: MNIST5k):
    split = SmallDataModule(digits, [0, 1, 2, 3], batch_size=4)
    split.setup("fit")
    part = split.chunk(range(2, 4))
    assert part.seeds == [2, 3]
    whole = [batch.inputs[2:] for batch in split.train_dataloader()]
    for expected, batch in zip(whole, part.train_dataloader(), strict=True):
        assert torch.equal(batch.inputs, expected)


def test_inputs_are_given_to_a_copy(digits: MNIST5k):
    module = SmallDataModule(digits, [0], batch_size=4)
    features = torch.rand(len(module.images), 7)
    given = module.with_inputs(Inputs(features, stored=True, shape=(7,)))
    assert module.inputs is None
    batch = next(iter(given.train_dataloader()))
    assert (batch.inputs.shape, batch.stored) == ((1, 4, 7), True)
    ((inputs, labels),) = given.train_examples()
    assert torch.equal(inputs, features[given.rows["train"][0]])
    assert labels.tolist() == [label for label in range(5) for _ in range(20)]


def test_a_fit_has_one_training_loader_whose_order_goes_on(digits: MNIST5k):
    module = SmallDataModule(digits, [0], batch_size=100)
    module.setup("fit")
    (first,), (second,) = list(module.train_dataloader()), list(module.train_dataloader())
    assert module.train_dataloader() is module.train_dataloader()
    assert not torch.equal(first.labels, second.labels)
    (again,) = list(module.chunk(range(1)).train_dataloader())
    assert torch.equal(first.labels, again.labels)


def test_augmentation_chooses_the_training_loader(digits: MNIST5k):
    kinds = []
    for augment in (None, Distort(flip=0.5), Distort(flip=0.5, views=2)):
        module = SmallDataModule(digits, [0], 4, augment=augment)
        train = None if augment is None else torch.rand(len(module.train_images) * (augment.views or 1), 1, 4, 4)
        inputs = Inputs(torch.rand(len(module.images), 1, 4, 4), stored=False, shape=(1, 4, 4), train=train)
        kinds.append(type(module.with_inputs(inputs).train_dataloader()))
    assert kinds == [TrainLoader, AugmentedLoader, StoredViewsLoader]
