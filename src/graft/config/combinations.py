"""Combinations: values that are each allowed, but not together, as far as the configuration alone shows it.

The data and the models show more, such as the number of stages under `backbone.keep=null`; they check that themselves.

Do not import torch here: `--help` must answer in under a second.
"""

from collections.abc import Callable, Iterator
from contextlib import suppress
from math import inf

from graft.config.one_form import class_in_both_splits, domain_faults
from graft.config.training import (
    frozen_precision_of_none,
    nesterov_without_momentum,
    refused_callbacks,
    refused_explanations,
    refused_flags,
    refused_loggers,
    schedule_without_effect,
)
from graft.config.values import Undecided, Values
from graft.errors import Fault, as_typed

UNPUBLISHED = ("CNN", "CNN4", "CNN5", "Thumbnail")  # backbones without published weights


def combinations(values: Values) -> list[Fault]:
    """Return the faults of all combinations that can be judged."""
    faults: list[Fault] = []
    for find in FINDERS:
        with suppress(Undecided):
            faults.extend(find(values))  # what is found before a value that is undecided stays
    return faults


def _fewer_than_the_first_round(values: Values) -> Iterator[Fault]:
    least, most = values.get("trials_min"), values.get("trials_max")
    if values.get("trials") != "auto":
        return
    folds = values.get("dataset").get("folds") or 1
    whole = -(-least // folds) * folds
    if most < whole:
        repeats = "" if folds == 1 else f", in whole repeats of dataset.folds={folds}: at least {whole}"
        yield Fault("trials_max", most, f"at least trials_min={least}{repeats}", f"trials_max={10 * whole}")


def _no_number_of_images(values: Values) -> Iterator[Fault]:
    key = "dataset.small_per_class"
    given = "small_per_class" in values.get("dataset")  # a data set of the user's own may have no such key
    if given and values.get(key) is None and values.get("dataset.small_total") is None:
        yield Fault(key, None, "a number without dataset.small_total", f"{key}=20")


def _folds(values: Values) -> Iterator[Fault]:
    folds = values.get("dataset.folds")
    if folds is None:
        return
    per_class, seed = values.get("dataset.test_per_class"), values.get("seed")
    if per_class is not None:
        expected = f"null with dataset.folds={folds}, whose trials test all images, fold by fold"
        yield Fault("dataset.test_per_class", per_class, expected, "dataset.test_per_class=null")
    if seed % folds:
        expected = f"a multiple of dataset.folds={folds}: the trial with seed k tests fold k mod {folds}"
        yield Fault("seed", seed, expected, f"seed={seed - seed % folds}")


def _nothing_to_pretrain_on(values: Values) -> Iterator[Fault]:
    big, small, domain = (values.get(f"dataset.{key}") for key in ("big", "small", "small_domain"))
    if values.target("source") == "Big" and (big == [] or ((big, small) == ("rest", "all") and domain is None)):
        expected = f"at least one class with source=big and dataset.small={as_typed(small)}"
        # Photos nearly always want published weights, of which the small networks have none.
        other = "backbone=efficientnet_lite0 " if values.target("backbone") in UNPUBLISHED else ""
        published = f"{other}source=imagenet, or " if values.in_files() else ""
        yield Fault("dataset.big", big, expected, f"{published}source=scratch")


def _random_weights_frozen(values: Values) -> Iterator[Fault]:
    if values.source_is_trained():
        return
    kept = values.num_kept()
    if values.staged() or values.target("tune") == "Lora":
        why = "thaw, whose first phase freezes all stages" if values.staged() else "lora, which updates trained weights"
        yield Fault("source", "scratch", f"big, imagenet or file with tune={why}", "tune=full, or source=big")
        return
    unfrozen = values.num_unfrozen()[0]
    if kept and (unfrozen == 0 or unfrozen < kept < inf):
        expected = "auto or all with source=scratch, because frozen stages would keep random weights"
        yield Fault("tune.thaw", values.get("tune.thaw"), expected, "tune=auto, or source=big")
    if values.get("tune.batch_norm") == "frozen":
        expected = "train with source=scratch, whose batch norm has no trained statistics"
        yield Fault("tune.batch_norm", "frozen", expected, "tune.batch_norm=train")


def _unfrozen_stages(values: Values) -> Iterator[Fault]:
    thaw, counts, kept = values.get("tune.thaw"), values.num_unfrozen(), values.num_kept()
    if values.get("backbone.features") and max(counts) > 0:
        expected = "0 with backbone.features, whose stages are joined as one frozen part"
        yield Fault("tune.thaw", thaw, expected, "tune=frozen with source=big, or backbone.features=null")
    elif values.staged() and kept == 0:
        expected = "above 0 with tune=thaw, which unfreezes kept stages"
        yield Fault("backbone.keep", 0, expected, "backbone.keep=1, or tune=full")
    elif max(counts) > kept:
        yield Fault("tune.thaw", thaw, f"at most {kept}, the kept stages (backbone.keep)", "tune.thaw=all")
    elif values.target("tune") == "Lora" and counts[0] == 0:
        yield Fault("tune.thaw", thaw, "above 0 or all with tune=lora, which updates these stages", "tune.thaw=1")
    elif not values.staged() and isinstance(thaw, list):
        yield Fault("tune.thaw", thaw, "one number; only tune=thaw takes a list", f"tune.thaw={thaw[-1]}, or tune=thaw")
    elif values.staged() and any(now <= before for before, now in zip([0, *counts], counts, strict=False)):
        expected = "above 0 with tune=thaw, and each number of a list above the one before"
        yield Fault("tune.thaw", thaw, expected, "tune.thaw=1, or tune=frozen")


def _one_device_only(values: Values) -> Iterator[Fault]:
    if values.world_size() == 1:
        return
    for key in values.automatic_rates():
        expected = "a number with several devices, because the range test runs on one"
        yield Fault(key, "auto", expected, f"{key}=0.001, or trainer=default")
    if views := values.get("augment.test_views"):
        expected = "null with several devices, because test-time augmentation runs on one"
        yield Fault("augment.test_views", views, expected, "augment.test_views=null, or trainer=default")


def _batch_too_small(values: Values) -> Iterator[Fault]:
    world_size = values.world_size()
    devices = f"{world_size} devices" if world_size > 1 else "one device"
    mixing = [f"regularize.{key}" for key in ("mixup", "cutmix") if values.get(f"regularize.{key}")]
    for key in ("batch_size", "source.batch_size"):
        size, least, expected = values.get(key), world_size, f"with {devices}, each of which needs an image"
        if mixing and key == "batch_size":
            least = 2 * world_size
            expected = f"with {' and '.join(mixing)} on {devices}, because pairs of a device's images are mixed"
        if size is not None and size < least:
            yield Fault(key, size, f"at least {least} {expected}", f"{key}={least}")


def _l2_sp_without_stages(values: Values) -> Iterator[Fault]:
    l2_sp = values.get("regularize.l2_sp")
    if l2_sp and values.target("tune") == "Lora":
        expected = "0 with tune=lora, whose stages keep their weights but for the updates"
        yield Fault("regularize.l2_sp", l2_sp, expected, "regularize.l2_sp=0, or tune=thaw")
    elif l2_sp and not (values.source_is_trained() and values.num_kept() and values.num_unfrozen()[-1]):
        expected = "0 unless stages with trained weights are unfrozen, which it pulls towards these weights"
        unfrozen = ", or tune=full with source=big" if values.num_kept() else ""
        yield Fault("regularize.l2_sp", l2_sp, expected, f"regularize.l2_sp=0{unfrozen}")


def _cutmix_of_features(values: Values) -> Iterator[Fault]:
    cutmix, views = values.get("regularize.cutmix"), values.get("augment.views")
    stored = values.target("augment") == "none" or views
    if cutmix and stored and values.num_kept() and (values.staged() or values.num_unfrozen()[0] == 0):
        expected = "0 where the head trains on stored features, which have no height and width"
        example = "regularize.cutmix=0 with regularize.mixup=0.2, or tune=full"
        yield Fault("regularize.cutmix", cutmix, expected, example)


def _views_without_frozen_stages(values: Values) -> Iterator[Fault]:
    views = values.get("augment.views")
    if views and values.num_unfrozen()[-1] >= values.num_kept():
        expected = "null if all stages train, because it stores the outputs of frozen stages"
        yield Fault("augment.views", views, expected, "augment.views=null")


def _solved_head_without_frozen_stages(values: Values) -> Iterator[Fault]:
    head = values.solved_head()
    if head is None:
        return
    why = f"with head={head}, which is fitted to stored features"
    if values.num_kept() == 0:
        yield Fault("backbone.keep", 0, f"above 0 {why}", "backbone.keep=null, or head=plain")
    elif values.get("tune.thaw") == "auto" and not values.source_is_trained():
        yield Fault("source", "scratch", f"big, imagenet or file {why}", "source=big, or head=plain")
    elif values.num_unfrozen()[-1]:
        yield Fault("tune.thaw", values.get("tune.thaw"), f"0 {why}", "tune=frozen, or head=plain")


def _solved_head_without_steps(values: Values) -> Iterator[Fault]:
    head = values.solved_head()
    if head is None:
        return
    why = f"with head={head}, which is fitted at once"
    if values.target("augment") != "none":
        yield Fault("augment", values.target("augment"), f"none {why}", "augment=none, or head=plain")
    if values.world_size() > 1:
        yield Fault("trainer.devices", values.get("trainer.devices"), f"1 {why}", "trainer=default, or head=plain")
    if head == "nearest_mean" and values.get("class_weights") is not None:
        expected = "null with head=nearest_mean, which takes all classes as equally frequent"
        yield Fault("class_weights", values.get("class_weights"), expected, "class_weights=null, or head=lda")
    for key in values.automatic_rates():
        yield Fault(key, "auto", f"a number {why}", f"{key}=0.001, or head=plain")
    for key in ("label_smoothing", "clip", "mixup", "cutmix", "ema", "l2_sp"):
        value, off = values.get(f"regularize.{key}"), "null" if key == "clip" else "0"
        if value:
            yield Fault(f"regularize.{key}", value, f"{off} {why}", f"regularize.{key}={off}, or head=plain")


def _nothing_to_vary(values: Values) -> Iterator[Fault]:
    vary, head, folds = values.get("trials_vary"), values.solved_head(), values.get("dataset.folds")
    if vary == "all" or values.get("trials") == 1:
        return
    if vary == "data" and values.get("dataset.draw") == "first":
        expected = "all or init with dataset.draw=first, because all trials would draw, and compute, the same"
        yield Fault("trials_vary", vary, expected, "trials_vary=init, or dataset.draw=stratified")
    if vary == "init" and head is not None:
        expected = f"all or data with head={head}, which has no random initialization: all trials would be the same"
        yield Fault("trials_vary", vary, expected, "trials_vary=data, or head=plain")
    if vary == "init" and folds is not None:
        expected = f"all or data with dataset.folds={folds}, because trials of one draw all test the same fold"
        yield Fault("trials_vary", vary, expected, "trials_vary=data, or dataset.folds=null")


def _trials_end_without_validation(values: Values) -> Iterator[Fault]:
    head, folder = values.solved_head(), values.in_files()
    for key, off in (("stop.patience", None), ("weights", "last")):
        value, mend = values.get(key), f"{key}={as_typed(off)}"
        if value != off and head is not None:
            yield Fault(key, value, f"{as_typed(off)} with head={head}, which has no epochs", f"{mend}, or head=plain")
        elif value != off and values.get("dataset.val_per_class") == 0 and not folder:
            expected = f"{as_typed(off)} without validation images, by which each trial ends"
            yield Fault(key, value, expected, f"dataset.val_per_class=20, or {mend}")


FINDERS: tuple[Callable[[Values], Iterator[Fault]], ...] = (
    _fewer_than_the_first_round,
    class_in_both_splits,
    domain_faults,
    _no_number_of_images,
    _folds,
    _nothing_to_pretrain_on,
    _random_weights_frozen,
    _unfrozen_stages,
    _one_device_only,
    _batch_too_small,
    schedule_without_effect,
    nesterov_without_momentum,
    _l2_sp_without_stages,
    _cutmix_of_features,
    _views_without_frozen_stages,
    frozen_precision_of_none,
    _solved_head_without_frozen_stages,
    _solved_head_without_steps,
    _nothing_to_vary,
    _trials_end_without_validation,
    refused_callbacks,
    refused_explanations,
    refused_flags,
    refused_loggers,
)
