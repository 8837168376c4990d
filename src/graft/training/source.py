"""Sources: where the backbone's weights come from."""

import logging
import math
import time
from collections.abc import Callable, Sequence
from pathlib import Path

import pytorch_lightning as pl
from torch import nn

from graft import public_name
from graft.backbones.pretrained import WeightsLookup
from graft.backbones.staged import Backbone
from graft.config.identity import RESULTS_VERSION
from graft.data.datamodule import BigDataModule, Inputs
from graft.data.dataset import Dataset
from graft.data.preprocess import PretrainedInput
from graft.errors import GraftError
from graft.files import fingerprint, read_tensors
from graft.heads.own_head import checked_head
from graft.model.batch_norm import synchronized
from graft.model.stages import Weights, all_finite
from graft.model.weight_values import checked
from graft.model.weights_file import read_trained_on, read_weights, write_weights
from graft.nouns import counted
from graft.own_code import own_code
from graft.ranks import broadcast_object, locked, rank, rank_0_first, seed_rank
from graft.seed import seeded
from graft.stack.dropout import Masks
from graft.stack.own_optimizer import check_optimizer
from graft.training.checkpoint import Checkpoint
from graft.training.progress import Progress
from graft.training.transfer import Optimizer, TransferModule
from graft.training.tune import Freeze, Phase, Unfreeze

log = logging.getLogger("graft")

MakeBackbone = Callable[[], Backbone]
MakeTrainer = Callable[..., pl.Trainer]


class Source:
    """Where the backbone's weights come from; this one gives none.

    Attributes:
        trained: whether the source gives the backbone trained weights.
        pretrains: whether it trains them itself, on the big split, instead of loading published ones or a file.
        unseen: in words, what trainer flags have left out of the pre-training.
    """

    trained = True
    pretrains = False
    unseen: Sequence[str] = ()

    def trained_on(self, published: WeightsLookup) -> PretrainedInput | None:
        """Return the size and scaling of the images that the weights were trained on; None if unknown.

        Args:
            published: looks up the backbone's published weights by name.

        Raises:
            GraftError: the source names weights that are not published for this backbone.
        """
        return None

    def weights(
        self, make_backbone: MakeBackbone, data: Dataset, make_trainer: MakeTrainer, cache: Path
    ) -> Weights | None:
        """Return the weights as the backbone's state dict; None if each trial starts from its own random ones.

        Args:
            make_backbone: makes the backbone, with random weights.
            data: the data set.
            make_trainer: makes a trainer with additional flags.
            cache: folder for pre-trained weights; processes may share it.

        Raises:
            GraftError: the weights cannot be obtained, or are not this backbone's.
        """
        return None


class Scratch(Source):
    """No trained weights: each trial starts from its own random ones."""

    trained = False


class ImageNet(Source):
    """Weights that the backbone's library publishes.

    Args:
        weights: name in torchvision's enumeration or tag in timm; `DEFAULT`: the library's choice.
    """

    def __init__(self, weights: str = "DEFAULT"):
        self.name = weights

    def trained_on(self, published: WeightsLookup) -> PretrainedInput | None:
        return published(self.name).trained_on()

    def weights(
        self, make_backbone: MakeBackbone, data: Dataset, make_trainer: MakeTrainer, cache: Path
    ) -> Weights | None:
        network = make_backbone()
        with rank_0_first():  # downloads, unless the library's cache has them
            weights = network.convert_state_dict(network.published(self.name, network.model).state_dict())
        return checked(weights, network.state_dict(), f"source.weights={self.name}", network.label)


class File(Source):
    """Weights from a file: safetensors, a state dict from `torch.save`, a checkpoint that contains one, or a job's own.

    Names may have any prefix, such as `model.` in Lightning's checkpoints. A head's weights are ignored. Half and
    double precision become the network's.

    Args:
        path: the file; its keys are those of the backbone's state dict, `stages.0.0.weight` and so on, or
            the library's for this network.
        weights: name of the published weights that the file is a copy of, for the input that they were trained on.
        prefix: what the network's names start with, or a part of it, where the file holds several networks, such as
            `student` and `teacher`; None: the file holds one.
    """

    def __init__(self, path: str, weights: str | None = None, prefix: str | None = None):
        self.path, self.name, self.prefix = Path(path).expanduser(), weights, prefix

    def trained_on(self, published: WeightsLookup) -> PretrainedInput | None:
        return read_trained_on(self.path) if self.name is None else published(self.name).trained_on()

    def weights(
        self, make_backbone: MakeBackbone, data: Dataset, make_trainer: MakeTrainer, cache: Path
    ) -> Weights | None:
        network = make_backbone()
        weights = network.convert_state_dict(read_weights(self.path), self.prefix)
        return checked(weights, network.state_dict(), f"source.path={self.path}", network.label)


class Big(Source):
    """Pre-trains the whole backbone on the big split, once for all jobs that share the cache.

    Args:
        epochs: passes over the big split.
        batch_size: images in one batch.
        head: makes the head of the pre-training from the numbers of features and of classes.
        optimizer: makes the optimizer of the pre-training.
        seed: of initialization, batch order and dropout; independent of the trials' seeds.
    """

    pretrains = True

    def __init__(
        self, epochs: int, batch_size: int, head: Callable[..., nn.Module], optimizer: Optimizer, seed: int = 0
    ):
        self.epochs, self.batch_size, self.seed = epochs, batch_size, seed
        self.head, self.optimizer = head, optimizer

    def weights(
        self, make_backbone: MakeBackbone, data: Dataset, make_trainer: MakeTrainer, cache: Path
    ) -> Weights | None:
        """Return the pre-trained weights from the cache, or train them and add them to it.

        Raises:
            GraftError: the big split has no images.
        """
        if len(data.big) == 0:
            left = (
                "dataset.big_domain, of which no image is left"
                if data.choice.domains
                else "dataset.big, which is empty"
            )
            raise GraftError(f"source=big pre-trains on {left}; try source=scratch")
        with seeded(self.seed, "pretrain"):
            network = make_backbone()
            # All stages train, even if this job discards some of them or joins the features of several.
            network.keep, network.features = len(network.stages), []
            flags = {"max_epochs": self.epochs, "logger": False, "limit_val_batches": 0}
            path = cache / "pretrained" / f"{self.key(network, data, make_trainer(**flags))}.safetensors"
            path.parent.mkdir(parents=True, exist_ok=True)
            with locked(path.with_suffix(".lock"), f"pre-training {network.label}"):  # other processes wait, then load
                stored = broadcast_object(read_tensors(path) if rank() == 0 else None)
                if stored is not None and all_finite(stored.values()):
                    return stored
                seed_rank(self.seed, "pretrain")
                checkpoint = Checkpoint(path.with_suffix(".ckpt"))
                trainer = make_trainer(**flags, callbacks=[Freeze(), Unfreeze(), Progress("pre-train"), checkpoint])
                accuracy = self._pretrain(network, data, trainer, checkpoint)
                weights = network.state_dict()
                if rank() == 0:
                    if not self.unseen:
                        write_weights(path, weights, network.preprocess.pixels, accuracy)
                    checkpoint.remove()
                return broadcast_object(weights)

    def key(self, network: Backbone, data: Dataset, trainer: pl.Trainer) -> str:
        """Return a name made of everything that the weights depend on; `backbone.keep` is not part of it."""
        settings = (self.epochs, self.batch_size, _describe(self.head), _describe(self.optimizer), self.seed)
        limits = (trainer.max_steps, trainer.limit_train_batches, trainer.accumulate_grad_batches)
        training = (RESULTS_VERSION, trainer.precision, *limits)
        stages = (network.label, network.preprocess, network.stages, network.pool)
        images = (data.images.as_read, data.big, data.big_classes)
        return f"{network.label.lower()}-{fingerprint(*settings, *training, *stages, *images)[:24]}"

    def _pretrain(self, network: Backbone, data: Dataset, trainer: pl.Trainer, checkpoint: Checkpoint) -> float:
        """Train the network on the big split; return its training accuracy, in [0, 1].

        Raises:
            GraftError: the head or the optimizer is none, or the training diverged.
        """
        start = time.perf_counter()
        frozen, stages = network.split(0)  # preprocessing alone; all stages
        sizes = network.num_features(), len(data.big_classes)
        check_optimizer(self.optimizer, "source.optimizer")
        head = checked_head(lambda: self.head(*sizes), self.head, *sizes)()
        whole = nn.Sequential(stages, head)
        module = BigDataModule(data, self.batch_size, self.seed)
        inputs = Inputs(data.images.read(module.images), stored=False, shape=network.preprocess.output_shape)
        phase, masks = Phase(frozen_stages=0, optimizer=self.optimizer), Masks([self.seed], "pretrain")
        transfer = TransferModule(frozen, [synchronized(whole)], phase, masks=masks)
        checkpoint.fit(trainer, transfer, module.with_inputs(inputs.to(trainer.strategy.root_device)))
        whole.load_state_dict(transfer.stack.trial(0))  # sets the network's weights, too: `stages` are its own
        losses = [values for (_, metric, _), values in transfer.history.items() if metric == "loss"]
        if not all_finite([*losses, *network.state_dict().values()]):
            checkpoint.remove()  # by all ranks, so that none resumes from it
            raise self._diverged(len(losses))
        accuracies = [values.item() for (_, metric, _), values in transfer.history.items() if metric == "accuracy"]
        accuracy = accuracies[-1] if accuracies else math.nan  # the last epoch's, of one trial
        unseen = transfer.unseen(self.epochs, len(data.big))
        self.unseen = [f"the pre-training {unseen}"] if unseen else []
        log.info(
            "pre-trained on %s images in %.1f s (%s, training accuracy %.1f %%)%s",
            f"{len(data.big):,}", time.perf_counter() - start, counted(self.epochs, "epoch"), 100 * accuracy,
            f"; not kept: it {unseen}" if unseen else "",
        )  # fmt: skip
        return accuracy

    def _diverged(self, epoch: int) -> GraftError:
        lr = getattr(self.optimizer, "keywords", {}).get("lr")
        typed, lower = ("", 0.001) if lr is None else (f"={lr:g}", min(lr / 10, 0.001))
        return GraftError(
            f"the pre-training diverged: its loss or weights became NaN or infinite in epoch {epoch}; nothing is "
            f"stored; source.optimizer.lr{typed} is too large, try source.optimizer.lr={lower:g}"
        )


def _describe(partial: Callable) -> str:
    """Return the public name and the keyword arguments of a partial call, and the digest of a user's own code."""
    function = getattr(partial, "func", partial)
    return f"{public_name(function)}({getattr(partial, 'keywords', {})}){own_code(function.__module__) or ''}"
