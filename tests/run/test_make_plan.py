from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from domain_tables import write_sites
from omegaconf import DictConfig

from graft.data.folds import NO_IMAGE
from graft.data.images import ImageFiles
from graft.data.preprocess import InputSpec
from graft.errors import ConfigError
from graft.run.check_plan import warn_of_plan
from graft.run.make_plan import make_plan
from graft.run.plan import Plan

Configure = Callable[..., DictConfig]


def test_phases_take_the_job_s_settings_where_they_have_none(configure: Configure):
    plan = make_plan(configure("tune=thaw", "tune.epochs=3", "tune.lr=0.0002", "epochs=5", "lr=0.01", "trials=2"))
    head, unfrozen = plan.phases
    assert (head.phase.epochs, head.phase.lr, head.phase.frozen_stages, head.first_epoch) == (5, 0.01, 2, 0)
    assert (unfrozen.phase.epochs, unfrozen.phase.lr, unfrozen.phase.frozen_stages, unfrozen.first_epoch) == (
        3,
        2e-4,
        1,
        5,
    )
    assert plan.epochs == 8
    assert (head.input_shape, unfrozen.input_shape) == ((1600,), (32, 13, 13))


def test_images_are_fitted_to_the_weights(configure: Configure):
    plan = make_plan(configure("backbone=vgg16", "dataset.size=48", "dataset.pixels=byte", "source=scratch"))
    assert plan.preprocess.output_shape == (1, 48, 48)
    assert plan.preprocess(torch.full([1, 1, 28, 28], 200, dtype=torch.uint8)).max() == 200
    assert (len(plan.data.big), plan.datamodule.rows["train"].shape[1], len(plan.data.test)) == (2500, 100, 1250)


@pytest.mark.parametrize(
    ("vary", "draws", "streams"),
    [("all", {5, 6, 7}, [5, 6, 7]), ("data", {5, 6, 7}, [5] * 3), ("init", {5}, [5, 6, 7])],
)
def test_trials_vary_in_what_they_are_asked_to(configure: Configure, vary: str, draws: set[int], streams: list[int]):
    plan = make_plan(configure("trials=3", "seed=5", f"trials_vary={vary}"))
    assert (plan.seeds, plan.streams) == ([5, 6, 7], streams)
    drawn = {tuple(rows.tolist()) for rows in plan.datamodule.images[plan.datamodule.rows["train"]]}
    assert drawn == {tuple(plan.data.sample(seed)[0].tolist()) for seed in draws}


def test_a_trial_draws_the_same_groups_under_every_configuration(configure: Configure, tmp_path: Path):
    write_sites(tmp_path, patients=9)
    table = ("dataset=table", f"dataset.file={tmp_path}/labels.csv", "dataset.size=12", "dataset.group=patient")
    for drawn in (("small_per_class=all",), ("small_per_class=0.5", "folds=3"), ("small_per_class=9", "draw=first")):
        words = (*table, "dataset.val_per_class=4", "trials=4", *(f"dataset.{each}" for each in drawn))
        plans = [
            make_plan(configure(*words, *option.split()))
            for option in (
                "source=scratch",
                "source=scratch backbone=resnet18 dropout=0.5 batch_size=7 class_weights=effective",
                "source=imagenet backbone=resnet18 head=knn",
                "source=imagenet backbone=resnet18 tune=thaw augment=photos trials_at_once=1 lr=0.1 epochs=3",
            )
        ]
        first, *others = [_drawn(plan) for plan in plans]
        assert all(other == first for other in others)
        groups = plans[0].data.images.groups
        for trial in first:
            sides = [{groups[image] for image in images} for images in trial]
            assert len(set.union(*sides)) == sum(map(len, sides))
            assert all(sides)


def _drawn(plan: Plan) -> list[list[set[int]]]:
    """Return the images that each trial trains on, validates on and tests."""
    module = plan.datamodule
    taken = {"train": module.train_images, "val": module.images, "test": module.images}
    rows = {split: module.rows[split].expand(len(plan.seeds), -1) for split in taken}
    return [
        [set(taken[split][rows[split][trial][rows[split][trial] != NO_IMAGE]].tolist()) for split in taken]
        for trial in range(len(plan.seeds))
    ]


def test_trials_that_would_be_copies_are_refused(configure: Configure):
    words = ("dataset.small_per_class=250", "source=scratch", "trials=2")
    with pytest.raises(ConfigError, match=r"^trials_vary must be all or init where each trial trains on the same ima"):
        make_plan(configure(*words, "trials_vary=data"))
    make_plan(configure(*words, "trials_vary=data", "trials=1"))
    make_plan(configure(*words, "trials_vary=init"))


def test_a_plan_does_not_change(configure: Configure):
    plan = make_plan(configure("trials=1"))
    with pytest.raises(AttributeError):
        plan.phases = []  # type: ignore[misc]


def test_all_faults_of_a_plan_are_listed(configure: Configure):
    with pytest.raises(ConfigError) as error:
        make_plan(configure("head=ridge", "augment=digits", "regularize.ema=0.9", "lr=auto", "tune=full"))
    assert [fault.key for fault in error.value.faults] == ["tune.thaw", "augment", "lr", "regularize.ema"]
    assert str(error.value).count("\n") == 3


@pytest.mark.slow
def test_cutmix_is_refused_on_tokens_before_training(configure: Configure):
    overrides = ("backbone=torchvision", "backbone.model=vit_b_16", "dataset.size=224", "source=big", "tune.thaw=1")
    with pytest.raises(ConfigError, match=r"regularize\.cutmix must be 0 on stored features without height and width"):
        make_plan(configure(*overrides, "regularize.cutmix=1", "trials=1"))


@pytest.mark.parametrize(
    ("group", "target"),
    [("dataset", "pytorch_lightning.LightningDataModule"), ("source", "collections.OrderedDict")],
)
def test_a_class_of_another_kind_is_refused(configure: Configure, group: str, target: str):
    with pytest.raises(ConfigError, match=rf"{group}\._target_ must be a class that inherits from graft\."):
        make_plan(configure(f"{group}._target_={target}"))


def test_keys_of_preprocessing_may_be_left_out(configure: Configure):
    plan = make_plan(configure("~dataset.pixels", "~dataset.pad", "trials=1"))
    assert plan.input_spec == InputSpec()


SMALL = ("backbone=resnet18", "trials=1", "dataset.size=32")  # the last layer's maps are 1x1


@pytest.mark.slow
@pytest.mark.parametrize(
    ("overrides", "keys"),
    [
        ((*SMALL, "source=scratch", "batch_size=1"), ["batch_size"]),
        ((*SMALL, "source=big", "source.batch_size=1"), ["source.batch_size"]),
        (
            (*SMALL, "source=big", "source.batch_size=1", "batch_size=1", "tune=full"),
            ["source.batch_size", "batch_size"],
        ),
        ((*SMALL, "source=big", "batch_size=1"), []),  # all stages are frozen
        ((*SMALL, "source=big", "batch_size=1", "tune=full", "tune.batch_norm=frozen"), []),
        ((*SMALL, "source=scratch", "batch_size=2"), []),
        ((*SMALL, "source=scratch", "batch_size=1", "backbone.keep=3"), []),  # maps of 4x4
        ((*SMALL, "source=big", "source.batch_size=1", "backbone.keep=3"), ["source.batch_size"]),  # pre-trains all
        (("backbone=cnn5", "source=scratch", "batch_size=1"), []),  # maps of 3x3
        (("backbone=cnn", "source=scratch", "batch_size=1"), []),
    ],
)
def test_batches_of_one_image_are_refused_where_batch_norm_gets_one_value(
    overrides: tuple[str, ...], keys: list[str], configure: Configure
):
    if not keys:
        make_plan(configure(*overrides))
        return
    with pytest.raises(ConfigError, match="batch_size must be at least 2: at one image batch norm has") as caught:
        make_plan(configure(*overrides))
    assert [fault.key for fault in caught.value.faults] == keys


@pytest.mark.parametrize(
    ("overrides", "advice"),
    [
        (
            ["backbone=vgg16"],
            "try source.weights=IMAGENET1K_V1 or IMAGENET1K_FEATURES if they are published weights, or",
        ),
        (["backbone=resnet18"], "try source.weights=IMAGENET1K_V1 if they are published weights, or dataset.pixels="),
        (["backbone=cnn"], "assuming 0 to 1; try dataset.pixels=unit or byte"),
    ],
)
def test_the_warning_about_unknown_pixels_names_the_values(
    overrides: list[str], advice: str, configure: Configure, caplog: pytest.LogCaptureFixture, tmp_path: Path
):
    plan = make_plan(
        configure(*overrides, "dataset.size=32", "source=file", f"source.path={tmp_path}/w.pt", "trials=1")
    )
    plan.warn()
    assert advice in caplog.text


@pytest.mark.parametrize(
    ("overrides", "first", "warned"),
    [
        (["dataset.small_per_class=all"], 0, True),
        (["dataset.small_per_class=0.5", "head=ridge", "source=big"], 0, True),
        (["dataset.small_total=50"], 0, True),
        (["dataset.small_total=51"], 0, False),
        (["dataset.small_per_class=all", "head=svm", "source=big"], 0, False),
        (["dataset.small_per_class=all", "class_weights=null"], 0, False),
        (["dataset.small_per_class=all"], 1, False),  # said in the first round
        (["dataset.small_per_class=5"], 0, False),  # said before any data are read
    ],
)
def test_class_weights_of_equal_classes_are_said_to_have_no_effect(
    overrides: list[str], first: int, warned: bool, configure: Configure, caplog: pytest.LogCaptureFixture
):
    cfg = configure("source=scratch", "class_weights=balanced", "trials=2", *overrides)
    plan = make_plan(cfg, range(first, 2))
    warn_of_plan(plan, cfg)
    words = "class_weights=balanced has no effect: each class has equally many training images"
    assert caplog.messages.count(words) == warned
    if warned:
        assert (plan.datamodule.class_weights("balanced") == 1).all()


@pytest.mark.parametrize(("size", "warned"), [("dataset.size=32", False), ("dataset.size=28", True)])
def test_an_interpolation_of_images_that_are_not_resized_is_told(
    configure: Configure, caplog: pytest.LogCaptureFixture, size: str, warned: bool
):
    cfg = configure("source=scratch", "trials=1", "dataset.interpolation=bicubic", size)
    plan = make_plan(cfg)
    warn_of_plan(plan, cfg)
    assert plan.preprocess.settings["interpolation"] == "bicubic"
    assert any("dataset.interpolation=bicubic has no effect" in said for said in caplog.messages) == warned


def test_files_are_read_with_the_interpolation_of_the_weights(configure: Configure, tmp_path: Path):
    write_sites(tmp_path, patients=9)
    words = ("dataset=table", f"dataset.file={tmp_path}/labels.csv", "source=imagenet", "trials=1", "dataset.size=7")
    for backbone, expected in (("resnet18", "bilinear"), ("efficientnet_b0", "bicubic")):
        for typed in (None, "bilinear", "bicubic"):
            given = [] if typed is None else [f"dataset.interpolation={typed}"]
            images = make_plan(configure(*words, f"backbone={backbone}", *given)).data.images
            assert isinstance(images, ImageFiles)
            assert images.reading.interpolation == (typed or expected)


def test_a_later_phase_s_own_optimizer_and_schedule_count_alone(configure: Configure):
    words = ("tune=thaw", "optimizer=rmsprop", "optimizer.momentum=0.5", "schedule.warmup=0.1", "source.epochs=1")
    own = ("+optimizer@tune.optimizer=sgd", "tune.optimizer.weight_decay=0.1", "+schedule@tune.schedule=one_cycle")
    parameters = [torch.nn.Parameter(torch.zeros(1))]
    for typed, kind, settings in (((), "RMSprop", {"momentum": 0.5}), (own, "SGD", {"weight_decay": 0.1})):
        head, last = (planned.phase for planned in make_plan(configure(*words, *typed)).phases)
        optimizers = [phase.optimizer(parameters) for phase in (head, last) if phase.optimizer is not None]
        assert [type(optimizer).__name__ for optimizer in optimizers] == ["RMSprop", kind]
        assert settings.items() <= optimizers[1].param_groups[0].items()
        assert last.schedule is not None
        last.schedule(optimizers[1], 10, 1)  # with no key of the head's schedule


def test_a_pooling_that_a_network_cannot_have_is_refused_before_data_are_read(configure: Configure):
    words = (
        "backbone=resnet18",
        "backbone.pool=cls",
        "source=scratch",
        "dataset=image_folder",
        "dataset.root=/nowhere",
    )
    with pytest.raises(ConfigError, match=r"resnet18, which has no class token, got cls; try backbone\.pool=avg"):
        make_plan(configure(*words))


def test_batch_norm_in_a_head_trains_one_by_one_after_the_frozen_stages_as_well(
    configure: Configure, edit: Callable[[str], None]
):
    edit(
        "from torch import nn\nclass Normed(nn.Sequential):\n  def __init__(self, num_features, num_classes):\n"
        "    super().__init__(nn.BatchNorm1d(num_features), nn.Linear(num_features, num_classes))\n"
    )
    plan = make_plan(configure("head._target_=ours.Normed", "~head.dropout", "tune=thaw", "trials=2"))
    assert [len(planned.chunks) for planned in plan.phases] == [2, 2]
