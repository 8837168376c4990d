"""The check of a plan: combinations that only the built data set, backbone and trainer show to be impossible.

config/combinations.py refuses most of them earlier; these remain for backbone.keep=null and classes of the
user's own.
"""

import logging
import math
from collections.abc import Iterator

import torch
from omegaconf import DictConfig
from torch import nn

from graft import public_name
from graft.config.check import EQUAL_CLASSES, draws_equally, weighs_classes
from graft.config.values import SOLVED_HEADS, Values
from graft.data.datamodule import Inputs
from graft.data.images import ImageFiles
from graft.errors import ConfigError, Fault
from graft.heads.points_head import MOST_POINTS, PointsHead
from graft.model.batch_norm import check_batch_norm, freeze_batch_norm_stats, lacks_values
from graft.model.lora import attention_weights
from graft.run.plan import Plan
from graft.training.final_weights import TrialEnds
from graft.training.regularize import Regularize
from graft.training.source import Big

log = logging.getLogger("graft")


def check_plan(plan: Plan) -> None:
    """Refuse a plan that cannot run, with all its faults in one message.

    Raises:
        GraftError: names every fault with its key, its value and the allowed ones.
    """
    faults = [*_not_varying(plan), *_augmented(plan), *_regularized(plan), *_batches_of_one(plan), *_limited(plan)]
    faults += [*_not_validated(plan), *_adapted(plan)]
    faults += [*_fitted(plan), *_images_to_fit(plan)] if plan.is_solved else _nothing_to_train(plan)
    if faults:
        raise ConfigError(faults)
    if plan.world_size > 1:
        _check_batch_norms(plan)


def warn_of_plan(plan: Plan, cfg: DictConfig) -> None:
    """Warn of what only the data show; with trials=auto the first round warns for all."""
    if not plan.first_trial:
        _warn_of_equal_weights(plan, cfg)
        _warn_of_interpolation(plan, cfg)
        _warn_of_short_steps(plan, cfg.trainer.get("accumulate_grad_batches") or 1)


def _warn_of_equal_weights(plan: Plan, cfg: DictConfig) -> None:
    """Warn of class weights that are all 1; `config.check.unused` tells it before, if the configuration shows it."""
    values = Values(cfg)
    equal = len(set(plan.data.counts)) == 1 and not draws_equally(values)
    if equal and weighs_classes(values) and cfg.refit is None:
        log.warning("class_weights=%s has no effect: %s", plan.class_weights, EQUAL_CLASSES)


def _warn_of_interpolation(plan: Plan, cfg: DictConfig) -> None:
    """Warn of an interpolation of images that are not resized."""
    images = plan.data.images
    resized = plan.preprocess.resizes or (isinstance(images, ImageFiles) and images.resizes)
    if cfg.dataset.get("interpolation") and not resized:
        _, height, width = images.shape
        log.warning(
            f"dataset.interpolation={cfg.dataset.interpolation} has no effect: all images have {height}x{width} "
            "pixels, the size that the network gets"
        )


def _warn_of_short_steps(plan: Plan, accumulated: int) -> None:
    """Warn of epochs whose last step has fewer batches than `trainer.accumulate_grad_batches`, but divides by it."""
    fits = {} if plan.is_solved else {"training": (plan.datamodule.rows["train"].shape[1], plan.datamodule.batch_size)}
    if isinstance(plan.source, Big):
        fits["pre-training"] = len(plan.data.big), plan.source.batch_size
    for name, (images, size) in fits.items():
        batches = len(range(0, images - (images > 1), size))
        if left := batches % accumulated:
            log.warning(
                f"trainer.accumulate_grad_batches={accumulated}: the {name} has {batches} batches in an epoch, and the "
                f"last step takes {left}, whose summed gradients Lightning divides by {accumulated} nevertheless: it "
                f"is too small; try a number that divides {batches}"
            )


def _not_varying(plan: Plan) -> Iterator[Fault]:
    """Return why trials that differ in their draws only would not differ: each draws all images."""
    data, drawn = plan.datamodule, plan.datamodule.rows["train"].sort(1).values
    if len(data.seeds) > 1 and len(set(data.streams)) == 1 and (drawn == drawn[0]).all():
        expected = "all or init where each trial trains on the same images, here all of the pool"
        yield Fault("trials_vary", "data", expected, "trials_vary=all, or a smaller dataset.small_per_class")


def _adapted(plan: Plan) -> Iterator[Fault]:
    """Return why LoRA has nothing to update."""
    phase = plan.phases[-1].phase
    if phase.lora is not None:
        backbone = plan.backbone()
        if not attention_weights(backbone.split(phase.frozen_stages)[1]):
            expected = f"frozen, thaw or full for {backbone.label}: the stages that tune.thaw names have no attention"
            yield Fault("tune", "lora", expected, "tune=thaw")


def _nothing_to_train(plan: Plan) -> Iterator[Fault]:
    """Return why a head of the user's own needs parameters: where all stages are frozen nothing else trains."""
    head = plan.head()
    if any(True for _ in head.parameters()):  # the backbone, which takes long to make, is not asked
        return
    stages = plan.backbone().split(plan.phases[0].phase.frozen_stages)[1]
    if not any(True for _ in stages.parameters()):
        expected = "one with parameters where all stages are frozen, as nothing else trains"
        yield Fault("head", public_name(type(head)), expected, "tune=full")


def _not_validated(plan: Plan) -> Iterator[Fault]:
    """Return why trials cannot end by their validation images: there are none, or the epoch's end has no validation."""
    if not any(isinstance(each, TrialEnds) for each in plan.callbacks()):
        return
    why = "with stop.patience or weights=best, by which each trial ends by its validation images"
    if not plan.datamodule.rows["val"].numel():
        yield Fault("dataset.val_per_class", 0, f"above 0 {why}", "dataset.val_per_class=20")
    interval = plan.trainer(max_epochs=1, logger=False).val_check_interval
    if interval != 1.0:
        expected = f"1.0 {why} as an epoch ends"
        yield Fault("trainer.val_check_interval", interval, expected, "+trainer.val_check_interval=1.0")


def _augmented(plan: Plan) -> Iterator[Fault]:
    if plan.augment and plan.augment.views and not plan.phases[-1].phase.frozen_stages:
        expected = "null where all stages train: it stores the frozen stages' outputs for the views"
        yield Fault("augment.views", plan.augment.views, expected, "augment.views=null")


def _regularized(plan: Plan) -> Iterator[Fault]:
    regularize, last = plan.regularize, plan.phases[-1].phase
    if regularize.l2_sp and (last.frozen_stages == plan.num_kept or not plan.source.trained):
        expected = "0 unless stages with a source's weights train: it pulls them towards these weights"
        yield Fault("regularize.l2_sp", regularize.l2_sp, expected, "tune=full with source=big")
    stored = [planned for planned in plan.phases if planned.phase.frozen_stages and not plan.augmented_each_step]
    if regularize.cutmix and any(len(planned.input_shape) != 3 for planned in stored):
        expected = "0 on stored features without height and width, into which no rectangle can be pasted"
        yield Fault("regularize.cutmix", regularize.cutmix, expected, "regularize.mixup=0.2, or another tune.thaw=")


def _batches_of_one(plan: Plan) -> Iterator[Fault]:
    """Return why batches of one image are too small: where maps are 1x1, batch norm has one value of a channel."""
    if plan.world_size > 1:
        return  # its statistics are of the whole batch, which has an image for each device
    expected = "at least 2: at one image batch norm has a single value per channel, too few for its statistics"
    source = plan.source
    if isinstance(source, Big) and source.batch_size == 1:
        backbone = plan.backbone()
        backbone.keep = len(backbone.stages)
        whole = nn.Sequential(backbone.split(0)[1], source.head(backbone.num_features(), len(plan.data.big_classes)))
        if lacks_values(whole, backbone.preprocess.output_shape):
            yield Fault("source.batch_size", 1, expected, "source.batch_size=2")
    if plan.datamodule.batch_size == 1 and not plan.is_solved:
        backbone = plan.backbone()
        for planned in plan.phases:
            network = plan.network(0, planned.phase, backbone.split(planned.phase.frozen_stages)[1])
            if lacks_values(network, planned.input_shape):
                yield Fault("batch_size", 1, expected, "batch_size=2")
                return


def _limited(plan: Plan) -> Iterator[Fault]:
    """Return the shares of batches below one batch; Lightning would refuse those of the test after all training."""
    trainer, last = plan.trainer(max_epochs=1, logger=False), plan.phases[-1]
    if trainer.limit_train_batches == trainer.limit_test_batches == trainer.val_check_interval == 1.0:
        return
    nothing = torch.empty(len(plan.datamodule.images), 0)  # only the loaders' lengths count
    datamodule = plan.datamodule.chunk(last.chunks[-1]).with_inputs(Inputs(nothing, True, last.input_shape))
    training = len(datamodule.train_dataloader())
    batch_size = getattr(plan.source, "batch_size", 1) if plan.source.pretrains else 1
    lengths = {
        "limit_train_batches": min(training, math.ceil(len(plan.data.big) / batch_size) or training),
        "limit_test_batches": min(map(len, datamodule.test_dataloader()), default=1),
    }
    for flag, length in lengths.items():
        limit = getattr(trainer, flag)
        if isinstance(limit, float) and int(limit * length) == 0:
            yield Fault(f"trainer.{flag}", limit, f"at least one of {length} batches", f"+trainer.{flag}=1")
    interval, limit = trainer.val_check_interval, trainer.limit_train_batches
    batches = min(training, limit) if isinstance(limit, int) else int(training * limit)
    if isinstance(interval, int) and interval > batches:
        expected = f"at most {batches}, the batches of an epoch, or their share in (0, 1]"
        yield Fault("trainer.val_check_interval", interval, expected, "+trainer.val_check_interval=0.5")


def _fitted(plan: Plan) -> Iterator[Fault]:
    """Return why the head cannot be fitted at once: it needs stored features of unaugmented images."""
    name = public_name(type(plan.head()))
    head = f"with head={SOLVED_HEADS.get(name, name)}, which is fitted on stored features"
    num_unfrozen = plan.num_kept - plan.phases[-1].phase.frozen_stages
    if num_unfrozen:
        yield Fault("tune.thaw", num_unfrozen, f"0 {head}", "tune=frozen")
    if not plan.num_kept:
        yield Fault("backbone.keep", 0, f"at least 1 {head}", "backbone.keep=null")
    if plan.augment is not None:
        yield Fault("augment", "an augmentation", f"none {head}", "augment=none")
    if plan.regularize != Regularize():
        yield Fault("regularize", plan.regularize, f"left at its defaults {head}", "regularize=default")
    if plan.phases[0].phase.lr == "auto":
        yield Fault("lr", "auto", f"a number {head}", "lr=0.001")
    if plan.world_size > 1:
        yield Fault("trainer.devices", plan.world_size, f"1 {head}", "trainer=default")
    precision = plan.trainer(max_epochs=1, logger=False).precision
    if getattr(plan.head(), "keeps_points", False) and precision != "32-true":
        expected = f"32-true {head}: distances in 16 bits do not tell which image is nearest"
        yield Fault("trainer.precision", precision, expected, "trainer.precision=32-true")


def _images_to_fit(plan: Plan) -> Iterator[Fault]:
    """Return why a head cannot be fitted to the training images: classes without one, or more than fit in memory."""
    head, option = plan.head(), public_name(type(plan.head()))
    name = SOLVED_HEADS.get(option, option)
    rows, names = plan.datamodule.rows["train"], plan.data.class_names
    counts = torch.stack([labels.bincount(minlength=len(names)) for labels in plan.datamodule.train_labels[rows]])
    lacking = [names[label] for label in (counts == 0).any(0).nonzero().flatten().tolist()]
    if lacking:
        expected = f"another one where trials have no training images of classes ({', '.join(lacking)})"
        yield Fault("head", name, expected, "head=plain, or a data set with training images of each class")
    if isinstance(head, PointsHead) and rows.shape[1] > MOST_POINTS:
        expected = (
            f"another one with {rows.shape[1]} training images: it compares each with each, which takes several "
            f"matrices of {8 * rows.shape[1] ** 2 / 1e9:.1f} GB, and is limited to {MOST_POINTS}"
        )
        yield Fault("head", name, expected, "head=ridge, or a smaller dataset.small_per_class")


def _check_batch_norms(plan: Plan) -> None:
    """Refuse batch norm that trains but cannot be synchronized: in pre-training, and in the phase with most stages."""
    backbone, last = plan.backbone(), plan.phases[-1].phase
    if plan.source.pretrains:
        check_batch_norm(backbone, plan.device, plan.world_size)
    stages = backbone.split(last.frozen_stages)[1]
    if last.batch_norm == "frozen":
        freeze_batch_norm_stats(stages)
    check_batch_norm(stages, plan.device, plan.world_size)
