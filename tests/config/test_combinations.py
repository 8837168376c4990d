"""Combinations that the configuration alone shows to be impossible, and possible ones beside them."""

import re
from collections.abc import Callable

import pytest
from conftest import ROOT
from hydra.utils import get_class
from omegaconf import DictConfig, OmegaConf

from graft.backbones.staged import Backbone
from graft.config.build import to_plain
from graft.config.check import check
from graft.config.combinations import UNPUBLISHED, combinations
from graft.config.identity import job_identity
from graft.config.values import Values
from graft.errors import ConfigError

Configure = Callable[..., DictConfig]
TABLE = "dataset=table dataset.file=labels.csv"
DOMAINS = "dataset.domain=site dataset.small_domain=[A,B]"


@pytest.mark.parametrize(
    ("overrides", "key", "expected"),
    [
        ("trials=auto trials_max=5", "trials_max", "at least trials_min=6"),
        ("dataset.small=[1,2]", "dataset.big", "without classes of dataset.small=[1,2]"),
        ("dataset.small=all", "dataset.big", "without classes of dataset.small=all"),
        ("dataset=cifar10 dataset.small=[dog,ship]", "dataset.big", "without classes of dataset.small=[dog,ship]"),
        ("dataset.big=[]", "dataset.big", "at least one class with source=big"),
        (
            f"{TABLE} source=scratch dataset.small_domain=A",
            "dataset.domain",
            "the column that has dataset.small_domain",
        ),
        (f"{TABLE} source=scratch dataset.big_domain=A", "dataset.domain", "the column that has dataset.big_domain=A"),
        (f"{TABLE} source=scratch dataset.domain=site", "dataset.small_domain", "given with dataset.domain=site"),
        (
            f"{TABLE} {DOMAINS} dataset.big_domain=A",
            "dataset.big_domain",
            "without A, which is in dataset.small_domain",
        ),
        (
            f"{TABLE} {DOMAINS} dataset.big_domain=[C,A]",
            "dataset.big_domain",
            "without A, which is in dataset.small_do",
        ),
        (f"{TABLE} {DOMAINS} dataset.big=[]", "dataset.big", "at least one class with source=big"),
        (
            "dataset=image_folder dataset.root=DIR",
            "dataset.big",
            "at least one class with source=big and dataset.small=all",
        ),
        ("trials_vary=data dataset.draw=first", "trials_vary", "all or init with dataset.draw=first"),
        ("trials_vary=init head=ridge tune=frozen", "trials_vary", "all or data with head=ridge, which has no random"),
        (
            "trials_vary=init dataset.folds=5 dataset.test_per_class=null",
            "trials_vary",
            "all or data with dataset.folds=5, because trials of one",
        ),
        ("dataset.small_per_class=null", "dataset.small_per_class", "a number without dataset.small_total"),
        ("dataset.folds=5", "dataset.test_per_class", "null with dataset.folds=5"),
        ("dataset.folds=5 dataset.test_per_class=null seed=7", "seed", "a multiple of dataset.folds=5"),
        ("source=scratch tune=frozen", "tune.thaw", "auto or all with source=scratch"),
        ("source=scratch tune.thaw=1 backbone.keep=2", "tune.thaw", "auto or all with source=scratch"),
        ("source=scratch tune=thaw", "source", "big, imagenet or file with tune=thaw"),
        ("source=scratch tune=lora", "source", "big, imagenet or file with tune=lora"),
        ("source=scratch backbone.features=[1]", "tune.thaw", "0 with backbone.features"),
        ("tune=thaw backbone.features=[1,2]", "tune.thaw", "0 with backbone.features"),
        ("tune=lora tune.thaw=0", "tune.thaw", "above 0 or all with tune=lora"),
        ("tune=lora tune.thaw=3 backbone.keep=2", "tune.thaw", "at most 2, the kept stages"),
        ("tune=lora tune.thaw=[1,2]", "tune.thaw", "one number; only tune=thaw takes a list"),
        ("tune=lora regularize.l2_sp=1", "regularize.l2_sp", "0 with tune=lora"),
        ("tune=lora head=ridge", "tune.thaw", "0 with head=ridge"),
        ("source=scratch tune.batch_norm=frozen", "tune.batch_norm", "train with source=scratch"),
        ("tune.thaw=3 backbone.keep=2", "tune.thaw", "at most 2, the kept stages"),
        ("tune=thaw backbone.keep=2 tune.thaw=[1,3]", "tune.thaw", "at most 2, the kept stages (backbone.keep)"),
        ("tune.thaw=[1,2]", "tune.thaw", "one number; only tune=thaw takes a list"),
        ("tune=thaw tune.thaw=[2,1]", "tune.thaw", "above 0 with tune=thaw, and each number of a list above"),
        ("tune=thaw tune.thaw=[2,2]", "tune.thaw", "above 0 with tune=thaw, and each number of a list above"),
        ("tune=thaw tune.thaw=0", "tune.thaw", "above 0 with tune=thaw"),
        ("tune=thaw tune.thaw=auto", "tune.thaw", "above 0 with tune=thaw"),
        ("tune=thaw backbone.keep=0", "backbone.keep", "above 0 with tune=thaw"),
        ("trainer=ddp trainer.devices=2 lr=auto", "lr", "a number with several devices"),
        ("trainer=ddp trainer.devices=2 optimizer.lr=auto", "optimizer.lr", "a number with several devices"),
        ("trainer=ddp trainer.devices=2 tune=thaw tune.lr=auto", "tune.lr", "a number with several devices"),
        ("trainer.num_nodes=2 lr=auto", "lr", "a number with several devices"),
        (
            "trainer=ddp trainer.devices=2 augment=digits augment.test_views=2",
            "augment.test_views",
            "null with several devices",
        ),
        ("trainer=ddp trainer.devices=2 batch_size=1", "batch_size", "at least 2 with 2 devices"),
        ("trainer.devices=[0,3,5] batch_size=2", "batch_size", "at least 3 with 3 devices"),
        ("trainer=ddp trainer.devices=2 trainer.num_nodes=3", "batch_size", "at least 6 with 6 devices"),
        ("trainer.devices=auto trainer.num_nodes=5", "batch_size", "at least 5 with 5 devices"),
        ("trainer=ddp trainer.devices=2 source.batch_size=1", "source.batch_size", "at least 2 with 2 devices"),
        ("regularize.mixup=1 batch_size=1", "batch_size", "at least 2 with regularize.mixup on one device"),
        (
            "regularize.mixup=1 trainer=ddp trainer.devices=2 batch_size=3",
            "batch_size",
            "at least 4 with regularize.mixup on 2 devices",
        ),
        ("schedule=step epochs=30", "schedule.step_size", "below epochs=30"),
        ("schedule=step tune=thaw tune.epochs=20", "schedule.step_size", "below tune.epochs=20"),
        ("tune=thaw +schedule@tune.schedule=step", "tune.schedule.step_size", "below tune.epochs=20"),
        ("schedule=step epochs=1", "schedule.step_size", "below epochs=1"),
        (
            "schedule=step epochs=40 schedule.warmup=0.25",
            "schedule.step_size",
            "below epochs=40, of which the warm-up leaves 30",
        ),
        ("schedule=cosine schedule.eta_min=0.5", "schedule.eta_min", "below the learning rate of 0.001"),
        (
            "schedule=cosine schedule.eta_min=0.02 optimizer.lr=0.01",
            "schedule.eta_min",
            "below the learning rate of 0.01",
        ),
        ("schedule=cosine schedule.eta_min=0.0005 tune=thaw", "schedule.eta_min", "below the learning rate of 0.0001"),
        ("optimizer=sgd optimizer.nesterov=true optimizer.momentum=0", "optimizer.nesterov", "false with"),
        ("regularize.l2_sp=1", "regularize.l2_sp", "0 unless stages with trained weights are unfrozen"),
        ("regularize.l2_sp=1 source=scratch", "regularize.l2_sp", "0 unless stages with trained weights are unfrozen"),
        (
            "regularize.l2_sp=1 tune=full backbone.keep=0",
            "regularize.l2_sp",
            "0 unless stages with trained weights are unfrozen",
        ),
        ("regularize.cutmix=1", "regularize.cutmix", "0 where the head trains on stored features"),
        ("regularize.cutmix=1 tune=thaw", "regularize.cutmix", "0 where the head trains on stored features"),
        (
            "regularize.cutmix=1 augment=digits augment.views=2",
            "regularize.cutmix",
            "0 where the head trains on stored features",
        ),
        ("augment=digits augment.views=2 tune=full", "augment.views", "null if all stages train"),
        ("frozen_precision=bf16-mixed tune=full", "frozen_precision", "32-true if all stages train"),
        ("frozen_precision=bf16-mixed source=scratch", "frozen_precision", "32-true if all stages train"),
        ("augment=digits augment.views=2 source=scratch", "augment.views", "null if all stages train"),
        (
            "augment=digits augment.views=2 tune=thaw backbone.keep=2 tune.thaw=[1,2]",
            "augment.views",
            "null if all stages train",
        ),
        ("augment=digits augment.views=2 backbone.keep=0", "augment.views", "null if all stages train"),
        ("head=ridge tune=full", "tune.thaw", "0 with head=ridge, which is fitted to stored features"),
        ("head=logistic tune=thaw", "tune.thaw", "0 with head=logistic"),
        ("head=logistic source=scratch", "source", "big, imagenet or file with head=logistic"),
        ("head=ridge backbone.keep=0", "backbone.keep", "above 0 with head=ridge"),
        ("head=nearest_mean tune=full", "tune.thaw", "0 with head=nearest_mean, which is fitted to stored features"),
        ("head=nearest_mean class_weights=effective", "class_weights", "null with head=nearest_mean"),
        ("head=knn augment=digits", "augment", "none with head=knn"),
        ("head=kernel_ridge lr=auto", "lr", "a number with head=kernel_ridge"),
        ("head=lda regularize.ema=0.9", "regularize.ema", "0 with head=lda"),
        ("head=svm source=scratch", "source", "big, imagenet or file with head=svm"),
        ("head=ridge augment=digits", "augment", "none with head=ridge"),
        ("head=ridge regularize.ema=0.9", "regularize.ema", "0 with head=ridge"),
        ("head=ridge regularize.clip=1", "regularize.clip", "null with head=ridge"),
        ("head=ridge lr=auto", "lr", "a number with head=ridge, which is fitted at once"),
        ("head=ridge trainer=ddp trainer.devices=2", "trainer.devices", "1 with head=ridge"),
    ],
)
def test_what_cannot_go_together_is_refused(configure: Configure, overrides: str, key: str, expected: str):
    cfg = configure(*overrides.split())
    with pytest.raises(ConfigError) as error:
        check(cfg)
    (fault,) = error.value.faults
    assert fault.key == key
    assert fault.expected.startswith(expected)
    found = OmegaConf.select(cfg, key)
    assert OmegaConf.is_config(found) or fault.got == found
    for example in fault.example.split(", or "):  # each is typed instead of what was typed for its key or group
        examples = example.replace(" with ", " ").split()
        keys = tuple(f"{each.partition('=')[0]}{end}" for each in examples for end in ("=", "."))
        kept = [each for each in overrides.split() if not each.startswith(keys)]
        remaining = combinations(Values(configure(*kept, *examples)))
        assert key not in [fault.key for fault in remaining], example


@pytest.mark.parametrize(
    ("words", "advice"),
    [
        ("dataset=image_folder", "backbone=efficientnet_lite0 source=imagenet, or source=scratch"),
        ("dataset=image_folder backbone=vgg16", "source=imagenet, or source=scratch"),
        ("dataset.small=all", "source=scratch"),
    ],
)
def test_own_photos_are_advised_to_take_published_weights(configure: Configure, words: str, advice: str):
    faults = combinations(Values(configure(*words.split(), "dataset.root=photos", "dataset.big=rest")))
    assert [fault.example for fault in faults if fault.key == "dataset.big"] == [advice]


@pytest.mark.slow
@pytest.mark.parametrize(
    "overrides",
    [
        "dataset.big=rest dataset.small=[1,2]",
        f"{TABLE} {DOMAINS}",  # the same classes are in both splits
        f"{TABLE} {DOMAINS} dataset.big_domain=[C,D] dataset.big=[cat,dog] dataset.small=[cat,dog]",
        "dataset.big=[] source=scratch",
        "dataset.small_per_class=null dataset.small_total=40",
        "source=scratch tune=full",
        "source=scratch tune.thaw=2 backbone.keep=2",
        "source=scratch tune.thaw=2",  # only the backbone tells how many stages there are
        "source=scratch tune=frozen backbone.keep=0",
        "tune=full tune.batch_norm=frozen",
        "tune=thaw backbone.keep=2 tune.thaw=[1,2]",
        "tune=thaw backbone.keep=2 tune.thaw=all",
        "tune=thaw tune.thaw=[1,7]",
        "trainer=ddp trainer.devices=2 batch_size=2 source.batch_size=2",
        "trainer=ddp trainer.devices=2 augment=digits",
        "trainer.devices=[3] lr=auto",
        "trainer=ddp lr=auto",  # only the machine tells how many devices there are
        "trainer=ddp trainer.devices=2 regularize.mixup=1",
        "schedule=step epochs=31",
        "schedule=cosine schedule.eta_min=0.005 optimizer.lr=0.01",
        "regularize.l2_sp=1 tune=full",
        "regularize.l2_sp=1 tune=thaw",
        "regularize.cutmix=1 augment=digits",
        "regularize.cutmix=1 tune.thaw=1",
        "regularize.cutmix=1 source=scratch",
        "regularize.cutmix=1 backbone.keep=0",
        "augment=digits augment.views=2",
        "augment=digits augment.views=2 tune=thaw backbone.keep=2 tune.thaw=1",
        "head=ridge",
        "dataset=image_folder dataset.root=photos source=scratch stop.patience=3",  # it may have a folder val
        "head=ridge tune=frozen optimizer.lr=0.1",
        "+trainer.deterministic=true",
        "+callbacks.a._target_=mine.EarlyStopping",
        "+callbacks.a._target_=pytorch_lightning.callbacks.Timer",
    ],
)
def test_what_can_go_together_is_not_refused(configure: Configure, overrides: str):
    check(configure(*overrides.split()))


def test_a_head_that_is_solved_names_all_that_it_cannot_use(configure: Configure):
    with pytest.raises(ConfigError) as error:
        check(configure("head=ridge", "tune=full", "augment=digits", "regularize.ema=0.9", "regularize.clip=1"))
    keys = [fault.key for fault in error.value.faults]
    assert keys == ["tune.thaw", "augment", "regularize.clip", "regularize.ema"]


@pytest.mark.parametrize("group", ["source", "tune"])
def test_classes_that_graft_does_not_know_are_not_judged(configure: Configure, group: str):
    check(configure(f"{group}._target_=mine.Own", "regularize.l2_sp=1", "head=ridge", "regularize.l2_sp=0"))
    check(configure(f"{group}._target_=mine.Own", "regularize.cutmix=1"))
    check(configure(f"{group}._target_=mine.Own", "augment=digits", "augment.views=2"))


@pytest.mark.parametrize(
    ("library", "kind", "instead"),
    [
        ("pytorch_lightning", "EarlyStopping", "stop.patience=10 with dataset.val_per_class=20"),
        ("lightning.pytorch", "GradientAccumulationScheduler", "trainer.accumulate_grad_batches=4"),
    ],
)
def test_callbacks_that_would_find_nothing_to_work_on_are_refused(
    configure: Configure, library: str, kind: str, instead: str
):
    with pytest.raises(ConfigError, match=rf"^callbacks.mine must be left out: .*{kind}; try {re.escape(instead)}$"):
        check(configure(f"+callbacks.mine._target_={library}.callbacks.{kind}"))
    check(configure(*instead.split(" with ")))


def test_explanations_need_captum_and_weights(configure: Callable[..., DictConfig], monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr("graft.config.training.find_spec", lambda name: None)
    check(configure("keep_weights=none"))
    with pytest.raises(ConfigError) as found:
        check(configure("report.explain=true", "keep_weights=none"))
    first, second = map(str, found.value.faults)
    assert first == (
        "report.explain must be false, because the package captum is not installed, got true; "
        "try pip install -e '.[explain]', or report.explain=false"
    )
    assert second.startswith("keep_weights must be best, whole or all with report.explain=true, got none")
    monkeypatch.setattr("graft.config.training.find_spec", lambda name: name)
    check(configure("report.explain=true", "keep_weights=best"))


def test_images_that_are_not_shown_are_not_explained(configure: Configure, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr("graft.config.training.find_spec", lambda name: name)
    with pytest.raises(ConfigError, match=r"^report.explain must be false with report.thumbnails=false, .*, got true"):
        check(configure("report.explain=true", "report.thumbnails=false"))
    check(configure("report.thumbnails=false"))


def test_votes_are_not_explained(configure: Configure, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr("graft.config.training.find_spec", lambda name: name)
    with pytest.raises(ConfigError, match=r"^report.explain must be false with head=knn, .*, got true; try report"):
        check(configure("report.explain=true", "head=knn", "tune=frozen"))
    check(configure("head=knn", "tune=frozen"))
    check(configure("report.explain=true", "head=kernel_ridge", "tune=frozen"))


@pytest.mark.parametrize("key", ["explain", "thumbnails"])
@pytest.mark.parametrize("value", ["maybe", "null", "[true]"])
def test_what_a_page_shows_is_true_or_false(configure: Callable[..., DictConfig], key: str, value: str):
    with pytest.raises(Exception, match=f"report.{key}|{value}"):
        check(configure(f"report.{key}={value}"))


def test_explanations_are_no_part_of_a_job(configure: Callable[..., DictConfig]):
    jobs = [to_plain(configure(*words)) for words in ([], ["report.explain=true"])]
    assert len({job_identity(job, "images") for job in jobs}) == 1


def test_the_backbones_that_are_said_to_have_no_published_weights_are_those_without():
    targets = {OmegaConf.load(path)._target_ for path in (ROOT / "conf" / "backbone").glob("*.yaml")}
    inherited = Backbone.published_names.__func__  # type: ignore[attr-defined]
    networks = [get_class(target) for target in targets]
    assert {each.__name__ for each in networks if each.published_names.__func__ is inherited} == {*UNPUBLISHED}
