from collections.abc import Callable

import pytest
from omegaconf import DictConfig

from graft.config.check import check, unused
from graft.errors import ConfigError

Configure = Callable[..., DictConfig]
FOLDER = ["dataset=image_folder", "source=scratch"]


@pytest.mark.parametrize(
    ("overrides", "message"),
    [
        (["dropout=1.5"], "dropout must be in [0, 1), got 1.5; try dropout=0.5"),
        (["dropout=-0.1"], "dropout must be in [0, 1), got -0.1"),
        (["dropout=nan"], "dropout must be in [0, 1), got nan"),
        (["epochs=-1"], "epochs must be a whole number of at least 1, got -1; try epochs=100"),
        (["epochs=0"], "epochs must be"),
        (["trials=0"], "trials must be auto or a whole number of at least 1, got 0; try trials=15"),
        (["trials_at_once=0"], "trials_at_once must be auto or a whole number of at least 1, got 0"),
        (["trials_at_once=many"], "trials_at_once must be auto or"),
        (["batch_size=0"], "batch_size must be"),
        (["seed=-1"], "seed must be"),
        (["lr=0"], "lr must be auto or a finite number above 0, got 0; try lr=0.001"),
        (["lr=nan"], "lr must be auto or a finite number above 0, got nan"),
        (["lr=inf"], "lr must be auto or a finite number above 0, got inf"),
        (["lr=true"], "lr must be auto or a finite number above 0, got true"),
        (["lr=fast"], "lr must be auto or a finite number above 0, got fast"),
        (["width=0", "head=dense"], "width must be"),
        (["head=dense512", "head.widths=[-5]"], "head.widths must be a list of positive whole numbers, got [-5]"),
        (["head=dense512", "head.widths=[]"], "head.widths must be"),
        (["head=dense512", "head.input_dropout=1"], "head.input_dropout must be in [0, 1), got 1"),
        (["head.dropout=2"], "head.dropout must be in [0, 1), got 2"),
        (["dataset.draw=random"], "dataset.draw must be stratified or first, got random"),
        (
            ["dataset.small_per_class=0"],
            "dataset.small_per_class must be a whole number of at least 1, a fraction below 1, or all, got 0",
        ),
        (["dataset.small_per_class=ten"], "dataset.small_per_class must be"),
        (
            [*FOLDER, "dataset.root=DIR", "dataset.duplicates=merge"],
            "dataset.duplicates must be drop or keep, got merge",
        ),
        ([*FOLDER, "dataset.root=DIR", "dataset.short=true"], "dataset.short must be refuse or use, got true"),
        (["dataset.small_total=0"], "dataset.small_total must be null or a whole number"),
        (["dataset.val_per_class=-1"], "dataset.val_per_class must be"),
        (["dataset.small=[1]"], "dataset.small must be all or a list of two or more different classes, got [1]"),
        (["dataset.small=[1,1]"], "dataset.small must be"),
        (["dataset.small=some"], "dataset.small must be all or a list of two"),
        (["dataset.pixels=float"], "dataset.pixels must be weights, unit or byte, got float; try"),
        (["dataset.pad=-2"], "dataset.pad must be a whole number of at least 0, got -2; try dataset.pad=2"),
        (["dataset.size=0"], "dataset.size must be null or a whole number of at least 1, got 0; try dataset.size=32"),
        (["dataset.size=32.5"], "dataset.size must be"),
        ([*FOLDER, "dataset.root=x", "dataset.skip_unreadable=2"], "skip_unreadable must be true or false, got 2"),
        ([*FOLDER, "dataset.root=x", "dataset.skip_unreadable=1"], "skip_unreadable must be true or false, got 1"),
        ([*FOLDER, "dataset.root=7"], "dataset.root must be the path of a folder, got 7"),
        (["dataset=mnist", "dataset.download=maybe"], "dataset.download must be true or false, got maybe"),
        (FOLDER, "dataset.root must be the path of a folder, got nothing; try dataset.root=DIR"),
        (
            ["backbone=vgg16", "backbone.pool=max"],
            "backbone.pool must be null, avg, cls, gem, concat, average or flatten, got max",
        ),
        (["source=imagenet", "source.weights=1"], "source.weights must be null or a name, got 1"),
        (["reference={low: 2, high: 3, source: x}"], "reference must be null or low and high (fractions of 1)"),
        (["reference={low: 0.3, high: 0.2, source: x}"], "reference must be"),
        (["reference={low: 0.3, high: true, source: x}"], "reference must be"),
        (["reference={low: 0.3, source: x}"], "reference must be"),
        (["reference=high"], "reference must be"),
        (["reference={low: 0.3, high: 0.4, source: x, classes: 3}"], "reference must be"),
        (["dataset.big=3"], "dataset.big must be rest or a list of different classes, got 3"),
        (["source=file"], "source.path must be the path of a file, got nothing; try source.path=FILE"),
        (["source.epochs=0"], "source.epochs must be"),
        (["source.head.dropout=1"], "source.head.dropout must be"),
        (["source.optimizer.lr=auto"], "source.optimizer.lr must be a finite number above 0, got auto"),
        (["optimizer.weight_decay=-1"], "optimizer.weight_decay must be a finite number of at least 0, got -1"),
        (["optimizer.eps=nan"], "optimizer.eps must be a finite number of at least 0, got nan"),
        (["optimizer.betas=[0.9]"], "optimizer.betas must be a list of two numbers in [0, 1), got [0.9]"),
        (["optimizer=sgd", "optimizer.nesterov=no"], "optimizer.nesterov must be true or false, got no"),
        (["+optimizer.maximize=off"], "optimizer.maximize must be true or false, got off"),
        (["+source.optimizer.amsgrad=1"], "source.optimizer.amsgrad must be true or false, got 1"),
        (["optimizer.fused=no"], "optimizer.fused must be null, true or false, got no"),
        (["optimizer=sgd", "optimizer.momentum=true"], "optimizer.momentum must be from 0 to 1, got true"),
        (["optimizer=sgd", "tune=thaw", "optimizer.momentum=2"], "optimizer.momentum must be from 0 to 1, got 2"),
        (["schedule=step", "schedule.gamma=nan"], "schedule.gamma must be from 0 to 1, got nan"),
        (["tune=thaw", "+schedule@tune.schedule=step", "tune.schedule.step_size=0"], "tune.schedule.step_size must be"),
        (
            ["regularize.clip=true"],
            "regularize.clip must be null or a number above 0, got true; try regularize.clip=1.0",
        ),
        (["regularize.clip=nan"], "regularize.clip must be null or a number above 0, got nan"),
        (["head.dropout=false"], "head.dropout must be in [0, 1), got false"),
        (["augment=photos", "augment.flip=true"], "augment.flip must be from 0 to 1, got true"),
        (["tune.thaw=-1"], "tune.thaw must be auto, all, a whole number of at least 0, or with tune=thaw a list"),
        (["tune=thaw", "tune.thaw=[1,-2]"], "tune.thaw must be auto, all, a whole"),
        (
            ["tune=full", "tune.lr_factor=0"],
            "tune.lr_factor must be a finite number above 0, got 0; try tune.lr_factor=0.1",
        ),
        (["tune=thaw", "tune.lr_decay=0"], "tune.lr_decay must be in (0, 1], got 0"),
        (["tune=thaw", "tune.lr_decay=true"], "tune.lr_decay must be in (0, 1], got true"),
        (["tune=thaw", "tune.epochs=0"], "tune.epochs must be"),
        (["tune=thaw", "tune.lr=-1"], "tune.lr must be auto or a finite number above 0, got -1"),
        (["backbone.keep=-1"], "backbone.keep must be null or a whole number"),
        (["trainer.devices=0"], "trainer.devices must be auto, a whole number of at least 1, or a list"),
        (["trainer.devices=true"], "trainer.devices must be"),
        (["+trainer.gradient_clip_val=1"], "trainer.gradient_clip_val must be left out: it would clip all"),
        (["activation=rleu"], "activation must be relu, tanh, sigmoid or gelu, got rleu; try activation=relu"),
        (["activation=3"], "activation must be relu, tanh, sigmoid or gelu, got 3"),  # not the third
        (["keep_weights=1"], "keep_weights must be best, whole, all or none, got 1"),
        (["cache='~/cache'"], "cache must be the path of a folder (~ works on the command line only)"),
        (["cache=''"], "cache must be the path of a folder (~ works on the command line only), got nothing; try"),
        (["~dropout"], "dropout must be given, got nothing; try the command without ~dropout"),
        (["~head"], "head must be given, got nothing; try the command without ~head"),
        (["+colour=blue"], "colour must be left out, because there is no such key, got blue; try --help"),
        (["+droput=0.5"], "droput must be left out, because there is no such key, got 0.5; try dropout="),
        (
            ["+stop.patiense=3"],
            "stop.patiense must be left out, because there is no such key, got 3; try stop.patience=",
        ),
        (["+report.colour=blue"], "report.colour must be left out, because there is no such key, got blue; try --help"),
        (["+logger.tensorboard.save_dir=x"], "logger.tensorboard must be left as it is: TensorBoard's files are in"),
    ],
)
def test_impossible_values_are_named_with_a_way_out(configure: Configure, overrides: list[str], message: str):
    with pytest.raises(ConfigError) as error:
        check(configure(*overrides))
    assert message in str(error.value)
    assert len(error.value.faults) == 1  # a knob is not reported again where a group interpolates it


def test_all_faults_are_in_one_message(configure: Configure):
    with pytest.raises(ConfigError) as error:
        check(configure("+droput=1", "dropout=1.5", "epochs=-1", "dataset.draw=x", "dataset.small=[1,2]"))
    keys = ["droput", "epochs", "dropout", "dataset.draw", "dataset.big"]
    assert [fault.key for fault in error.value.faults] == keys
    assert [line.split()[0] for line in str(error.value).splitlines()] == keys


def test_combinations_with_a_faulty_value_are_not_judged(configure: Configure):
    step = ["schedule=step", "schedule.step_size=50"]
    for overrides, keys in (
        (["epochs=30"], ["schedule.step_size"]),
        (["epochs=0"], ["epochs"]),
        (["epochs=0", "source=scratch", "tune=frozen"], ["epochs", "tune.thaw"]),
    ):
        with pytest.raises(ConfigError) as error:
            check(configure(*step, *overrides))
        assert [fault.key for fault in error.value.faults] == keys


def test_the_defaults_are_possible(configure: Configure):
    check(configure())


def test_knobs_of_training_are_known_to_have_no_effect(configure: Configure):
    knobs = ["epochs", "lr", "optimizer.eps", "dropout", "width"]
    assert list(unused(configure("head=ridge"), [*knobs, "seed"])) == knobs
    assert not unused(configure(), ["epochs", "dropout", "trials_vary"])
    assert list(unused(configure("trials=1"), ["trials_vary"])) == ["trials_vary"]
    rounds = ["trials_min", "trials_max"]
    assert list(unused(configure(), rounds)) == rounds
    assert list(unused(configure("trials=auto"), [*rounds, "sweep.pruner"])) == ["sweep.pruner"]
    assert list(unused(configure("sweep=random", "resume=false"), ["resume"])) == ["resume"]
    assert not unused(configure("sweep=random", "resume=true"), ["resume"])
    assert not unused(configure("resume=false"), ["resume"])


@pytest.mark.parametrize(
    ("options", "knob", "idle"),
    [
        (["lr=0.1", "optimizer.lr=0.0005"], "lr", True),
        (["lr=0.1"], "lr", False),
        (["dataset.small_per_class=5", "dataset.small_total=50"], "dataset.small_per_class", True),
        (["dataset.small_per_class=5"], "dataset.small_per_class", False),
        (["epochs=2", "stop.patience=2", "dataset.val_per_class=20"], "stop.patience", True),
        (["epochs=3", "stop.patience=2", "dataset.val_per_class=20"], "stop.patience", False),
        (["class_weights=balanced"], "class_weights", True),
        (["class_weights=effective", "head=ridge"], "class_weights", True),
        (["class_weights=balanced", "head=svm"], "class_weights", False),
        (["class_weights=balanced", "dataset.small_per_class=0.5"], "class_weights", False),
        (["class_weights=balanced", "dataset.small_per_class=all"], "class_weights", False),
        (["class_weights=balanced", "+dataset.short=use"], "class_weights", False),
        (["class_weights=balanced", "dataset.small_total=9"], "class_weights", False),
        (["class_weights=null"], "class_weights", False),
    ],
)
def test_what_another_key_replaces_or_outlasts_has_no_effect(
    configure: Configure, options: list[str], knob: str, idle: bool
):
    assert list(unused(configure(*options), [knob])) == [knob] * idle


WITHOUT_STRENGTH = [f"augment.{strength}=0" for strength in ("rotate", "translate", "scale", "shear", "elastic")]
NO_PHOTO = [f"augment.{strength}=0" for strength in ("flip", "rotate", "translate", "scale", "colour", "erase")]
DROPS = "schedule.gamma=1 leaves the learning rate as it is"


@pytest.mark.parametrize(
    ("options", "idle", "why"),
    [
        (["augment=digits", *WITHOUT_STRENGTH], ["augment"], "all strengths of the augmentation are 0"),
        (["augment=photos", *NO_PHOTO, "augment.views=4"], ["augment", "augment.views"], "all strengths"),
        (["augment=digits", *WITHOUT_STRENGTH, "augment.noise=0.1"], [], ""),
        (["augment=randaug", "augment.flip=0", "augment.magnitude=0"], [], ""),  # it equalizes whatever the strength
        (["augment._target_=mine.Own"], [], ""),
        (["schedule=step", "schedule.gamma=1", "schedule.step_size=2"], ["schedule", "schedule.step_size"], DROPS),
        (["schedule=step", "schedule.gamma=0.5"], [], ""),
        (["schedule=cosine"], [], ""),
        (
            ["tune=thaw", "+schedule@tune.schedule=step", "tune.schedule.gamma=1", "tune.schedule.step_size=2"],
            ["+schedule@tune.schedule", "tune.schedule.step_size"],
            f"tune.{DROPS}",
        ),
        (["source=scratch", "dataset.big=[0,2]"], ["dataset.big"], "source=scratch pre-trains on nothing"),
        (["source=imagenet", "backbone=vgg16", "dataset.big=[0,2]"], ["dataset.big"], "source=imagenet pre-trains on"),
        (["source=big", "dataset.big=[0,2]"], [], ""),
        (["source=scratch", "dataset.big=[]"], [], ""),  # says what is so
        (["source=scratch", "dataset.small=[0,1]", "dataset.big=[2,4]"], [], ""),  # the usual one has a 0, too
        (
            ["dataset=image_folder", "dataset.root=x", "source=scratch", "dataset.big=[a]", "dataset.small=[b,c]"],
            [],
            "",
        ),
        (["dataset=image_folder", "dataset.root=x", "source=scratch", "dataset.big=rest"], [], ""),
    ],
)
def test_what_another_key_leaves_nothing_to_change_has_no_effect(
    configure: Configure, options: list[str], idle: list[str], why: str
):
    cfg = configure(*options)
    check(cfg)
    found = unused(cfg, [option.partition("=")[0] for option in options])
    assert list(found) == idle
    assert all(reason.startswith(why) for reason in found.values())


@pytest.mark.parametrize("options", [["tune=frozen"], ["tune=auto"], ["tune=frozen", "tune.thaw=1"], ["tune=thaw"]])
def test_knobs_of_thawed_stages_have_no_effect_where_none_is(configure: Configure, options: list[str]):
    knobs = ["tune.lr_decay", "tune.batch_norm"] + ["tune.lr_factor"] * (options[0] != "tune=thaw")
    unfreezes = options[-1] in ("tune.thaw=1", "tune=thaw")
    assert list(unused(configure(*options), ["tune.thaw", *knobs])) == ([] if unfreezes else knobs)
    assert not unused(configure("source=scratch"), knobs)


def test_a_class_that_graft_does_not_know_is_not_said_to_have_no_effect(configure: Configure):
    assert not unused(configure("tune._target_=mine.Own"), ["tune.lr_decay"])
    assert not unused(configure("source._target_=mine.Own"), ["tune.lr_decay", "dataset.big"])


def test_faults_of_several_jobs_are_listed_once(configure: Callable[..., DictConfig]):
    jobs = [configure("dropout=1.5", "epochs=0"), configure("dropout=1.5", "width=-1")]
    with pytest.raises(ConfigError) as error:
        check(*jobs)
    assert [fault.key for fault in error.value.faults] == ["epochs", "dropout", "width"]


def test_devices_that_only_the_machine_shows_are_judged_like_typed_ones(configure: Callable[..., DictConfig]):
    cfg = configure("trainer.devices=auto", "batch_size=1", "lr=auto", "augment=digits", "augment.test_views=2")
    check(cfg)  # one device at least
    with pytest.raises(ConfigError) as error:
        check(cfg, world_size=2)
    assert sorted(fault.key for fault in error.value.faults) == ["augment.test_views", "batch_size", "lr"]
    with pytest.raises(ConfigError, match=r"trainer\.devices must be 1 with head=ridge, .*, got auto"):
        check(configure("trainer.devices=auto", "head=ridge"), world_size=2)
