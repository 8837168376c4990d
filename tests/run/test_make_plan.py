from collections.abc import Callable

import pytest
import torch
from omegaconf import DictConfig

from graft.data.preprocess import InputSpec
from graft.errors import ConfigError
from graft.run.make_plan import make_plan

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
    assert plan.image_counts == {"big": 2500, "small": 100, "val": 0, "test": 1250}


def test_a_plan_does_not_change(configure: Configure):
    plan = make_plan(configure("trials=1"))
    with pytest.raises(AttributeError):
        plan.phases = []  # type: ignore[misc]


def test_all_faults_of_a_plan_are_listed(configure: Configure):
    with pytest.raises(ConfigError) as error:
        make_plan(configure("head=ridge", "augment=digits", "regularize.ema=0.9", "lr=auto", "tune=full"))
    assert [fault.key for fault in error.value.faults] == ["tune.thaw", "augment", "lr", "regularize.ema"]
    assert str(error.value).count("\n") == 3


def test_cutmix_is_refused_on_tokens_before_training(configure: Configure):
    overrides = ("backbone=torchvision", "backbone.model=vit_b_16", "dataset.size=224", "source=big", "tune.thaw=1")
    with pytest.raises(ConfigError, match=r"regularize\.cutmix must be 0 on stored features without height and width"):
        make_plan(configure(*overrides, "regularize.cutmix=1", "trials=1"))


def test_keys_of_preprocessing_may_be_left_out(configure: Configure):
    plan = make_plan(configure("~dataset.pixels", "~dataset.pad", "trials=1"))
    assert plan.input_spec == InputSpec()


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
