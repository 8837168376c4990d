"""Sources: where the backbone's weights come from."""

import logging
import time
from collections.abc import Callable
from pathlib import Path

import pytorch_lightning as pl
from torch import nn

from graft import public_name
from graft.config.identity import RESULTS_VERSION
from graft.data.datamodule import BigDataModule, Inputs
from graft.data.dataset import Dataset
from graft.data.preprocess import PretrainedInput
from graft.errors import GraftError
from graft.files import fingerprint, read_tensors
from graft.model.backbone import Backbone
from graft.model.batch_norm import synchronized
from graft.model.dropout import Masks
from graft.model.pretrained import WeightsLookup
from graft.model.stages import Weights
from graft.model.weights_file import read_trained_on, read_weights, write_weights
from graft.ranks import broadcast_object, locked, rank, rank_0_first, seed_rank
from graft.seed import seeded
from graft.training.checkpoint import Checkpoint
from graft.training.progress import Progress
from graft.training.transfer import Optimizer, TransferModule
from graft.training.tune import Freeze, Phase

log = logging.getLogger("graft")

MakeBackbone = Callable[[], Backbone]
MakeTrainer = Callable[..., pl.Trainer]


class Source:
    """Where the backbone's weights come from; this one gives none.

    Attributes:
        trained: whether the source gives the backbone trained weights.
        pretrains: whether it trains them itself, on the big split, instead of loading published ones or a file.
    """

    trained = True
    pretrains = False

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
        _check_weights(weights, network, f"source.weights={self.name}")
        return weights


class File(Source):
    """Weights from a file: safetensors, a state dict from `torch.save`, or a checkpoint that contains one.

    Names may have any prefix, such as `model.` in Lightning's checkpoints. A head's weights are ignored.

    Args:
        path: the file; its keys are those of the backbone's state dict, `stages.0.0.weight` and so on, or
            the library's for this network.
        weights: name of the published weights that the file is a copy of, for the input that they were trained on.
    """

    def __init__(self, path: str, weights: str | None = None):
        self.path, self.name = Path(path).expanduser(), weights

    def trained_on(self, published: WeightsLookup) -> PretrainedInput | None:
        return read_trained_on(self.path) if self.name is None else published(self.name).trained_on()

    def weights(
        self, make_backbone: MakeBackbone, data: Dataset, make_trainer: MakeTrainer, cache: Path
    ) -> Weights | None:
        network = make_backbone()
        weights = network.convert_state_dict(read_weights(self.path))
        _check_weights(weights, network, f"source.path={self.path}")
        return weights


def _check_weights(weights: Weights, network: Backbone, origin: str) -> None:
    """Refuse weights whose names or shapes are not the network's."""
    expected = network.state_dict()
    faults = [f"{key} is missing" for key in expected if key not in weights]
    faults += [f"{key} is not a weight of this backbone" for key in weights if key not in expected]
    faults += [
        f"{key} has shape {tuple(weights[key].shape)} instead of {tuple(expected[key].shape)}"
        for key in expected
        if key in weights and weights[key].shape != expected[key].shape
    ]
    if faults:
        more = f" and {len(faults) - 4} more" if len(faults) > 4 else ""
        raise GraftError(
            f"{origin} does not match the backbone {network.label}: {'; '.join(faults[:4])}{more}; "
            "try the backbone that these weights were trained in"
        )


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
            raise GraftError("source=big pre-trains on dataset.big, which is empty; try source=scratch")
        with seeded(self.seed, "pretrain"):
            network = make_backbone()
            network.keep = len(network.stages)  # all stages train, even if this job discards some of them
            flags = {"max_epochs": self.epochs, "logger": False, "limit_val_batches": 0}
            path = cache / "pretrained" / f"{self.key(network, data, make_trainer(**flags))}.safetensors"
            path.parent.mkdir(parents=True, exist_ok=True)
            with locked(path.with_suffix(".lock")):  # other processes wait, then load
                stored = broadcast_object(read_tensors(path) if rank() == 0 else None)
                if stored is not None:
                    return stored
                seed_rank(self.seed, "pretrain")
                checkpoint = Checkpoint(path.with_suffix(".ckpt"))
                trainer = make_trainer(**flags, callbacks=[Freeze(), Progress("pre-train"), checkpoint])
                weights = self._pretrain(network, data, trainer, checkpoint, path)
                if rank() == 0:
                    checkpoint.remove()
                return broadcast_object(weights)

    def key(self, network: Backbone, data: Dataset, trainer: pl.Trainer) -> str:
        """Return a name made of everything that the weights depend on; `backbone.keep` is not part of it."""
        settings = (self.epochs, self.batch_size, _describe(self.head), _describe(self.optimizer), self.seed)
        limits = (trainer.max_steps, trainer.limit_train_batches, trainer.accumulate_grad_batches)
        training = (RESULTS_VERSION, trainer.precision, *limits)
        stages = (network.label, network.preprocess, network.stages, network.pool)
        images = (data.images.fingerprint, data.big, data.big_classes)
        return f"{network.label.lower()}-{fingerprint(*settings, *training, *stages, *images)[:24]}"

    def _pretrain(
        self, network: Backbone, data: Dataset, trainer: pl.Trainer, checkpoint: Checkpoint, path: Path
    ) -> Weights:
        """Train the network on the big split and write its weights."""
        start = time.perf_counter()
        frozen, stages = network.split(0)  # preprocessing alone; all stages
        whole = nn.Sequential(stages, self.head(network.num_features(), len(data.big_classes)))
        module = BigDataModule(data, self.batch_size, self.seed)
        inputs = Inputs(data.images.read(module.images), stored=False, shape=network.preprocess.output_shape)
        phase, masks = Phase(frozen_stages=0, optimizer=self.optimizer), Masks([self.seed], "pretrain")
        transfer = TransferModule(frozen, [synchronized(whole)], phase, masks=masks)
        checkpoint.fit(trainer, transfer, module.with_inputs(inputs.to(trainer.strategy.root_device)))
        whole.load_state_dict(transfer.stack.trial(0))  # sets the network's weights, too: `stages` are its own
        *_, accuracy = transfer.history.values()  # the last epoch's, of one trial
        if rank() == 0:
            write_weights(path, network.state_dict(), network.preprocess.pixels, accuracy.item())
        log.info(
            "pre-trained on %s images in %.1f s (%d epochs, training accuracy %.1f %%)",
            f"{len(data.big):,}", time.perf_counter() - start, self.epochs, 100 * accuracy.item(),
        )  # fmt: skip
        return network.state_dict()


def _describe(partial: Callable) -> str:
    """Return the public name and the keyword arguments of a partial call."""
    function = getattr(partial, "func", partial)
    return f"{public_name(function)}({getattr(partial, 'keywords', {})})"
