"""Sources: where the backbone's weights come from."""

import json
import logging
import time
from argparse import Namespace
from collections.abc import Callable, Mapping
from dataclasses import asdict
from pathlib import Path

import pytorch_lightning as pl
import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import load_file
from torch import nn

from graft import public_name
from graft.config.identity import RESULTS_VERSION
from graft.data.datamodule import BigDataModule, Inputs
from graft.data.dataset import Dataset
from graft.data.preprocess import PretrainedInput
from graft.errors import GraftError
from graft.files import fingerprint, read_tensors, write_tensors
from graft.model.backbone import Backbone
from graft.model.batch_norm import synchronized
from graft.model.pretrained import WeightsLookup
from graft.model.stages import Weights
from graft.ranks import broadcast_object, locked, rank, rank_0_first, seed_rank
from graft.seed import seeded
from graft.training.checkpoint import Checkpoint
from graft.training.progress import Progress
from graft.training.transfer import Optimizer, TransferModule
from graft.training.tune import Freeze, Phase

log = logging.getLogger("graft")

MakeBackbone = Callable[[], Backbone]
MakeTrainer = Callable[..., pl.Trainer]

# Where checkpoints hold their state dict: Lightning's and timm's, those of PyTorch's tutorials, torchvision's.
CHECKPOINT_KEYS = ("state_dict", "model_state_dict", "model")


class Scratch:
    """No source: each trial starts from its own random weights."""

    trained = False
    pretrains = False

    def trained_on(self, published: WeightsLookup) -> PretrainedInput | None:
        """Return None: there are no weights."""
        return None

    def weights(self, backbone: MakeBackbone, data: Dataset, trainer: MakeTrainer, cache: Path) -> Weights | None:
        """Return None: there are no weights to share."""
        return None


class ImageNet:
    """Weights that the backbone's library publishes.

    Args:
        weights: their name in torchvision's enumeration, or their tag in timm; `DEFAULT`, the library's choice.
    """

    trained = True
    pretrains = False

    def __init__(self, weights: str = "DEFAULT"):
        self.name = weights

    def trained_on(self, published: WeightsLookup) -> PretrainedInput | None:
        """Return the size and scaling of the images that these weights were trained on."""
        return published(self.name).trained_on()

    def weights(self, backbone: MakeBackbone, data: Dataset, trainer: MakeTrainer, cache: Path) -> Weights | None:
        """Return the weights, downloaded if the library's cache does not have them yet.

        Raises:
            GraftError: they cannot be downloaded, or fit only images of another size.
        """
        network = backbone()
        with rank_0_first():
            found = network.convert_state_dict(network.published(self.name, network.model).state_dict())
        _fit(found, network, f"source.weights={self.name}")
        return found


def _fit(found: Weights, network: Backbone, where: str) -> None:
    """Refuse weights whose names or shapes are not the network's."""
    expected = network.state_dict()
    faults = [f"{key} is missing" for key in expected if key not in found]
    faults += [f"{key} is not a weight of this backbone" for key in found if key not in expected]
    faults += [
        f"{key} has shape {tuple(found[key].shape)} instead of {tuple(expected[key].shape)}"
        for key in expected
        if key in found and found[key].shape != expected[key].shape
    ]
    if faults:
        more = f" and {len(faults) - 4} more" if len(faults) > 4 else ""
        raise GraftError(
            f"{where} does not fit the backbone {network.label}: {'; '.join(faults[:4])}{more}; "
            "try the backbone that these weights were trained in"
        )


class File:
    """Weights from a file: safetensors, a state dict that `torch.save` wrote, or a checkpoint that holds one.

    Names may have any prefix, such as `model.` in Lightning's checkpoints, and a head's weights are left out.

    Args:
        path: the file; its keys are those of the backbone's state dict, `stages.0.0.weight` and so on, or
            the library's for this network.
        weights: the published weights that the file is a copy of, which tells what pixels they were trained on.
    """

    trained = True
    pretrains = False

    def __init__(self, path: str, weights: str | None = None):
        self.path, self.name = Path(path).expanduser(), weights

    def trained_on(self, published: WeightsLookup) -> PretrainedInput | None:
        """Return the pixels that the weights were trained on, if `weights` or the file itself says so."""
        if self.name is not None:
            return published(self.name).trained_on()
        try:
            with safe_open(self.path, "pt") as file:
                written = json.loads((file.metadata() or {})["trained_on"])
        except (OSError, SafetensorError, KeyError):  # not there, no safetensors, or not written by Graft
            return None
        return PretrainedInput(**{**written, "mean": tuple(written["mean"]), "std": tuple(written["std"])})

    def weights(self, backbone: MakeBackbone, data: Dataset, trainer: MakeTrainer, cache: Path) -> Weights | None:
        """Return the file's weights.

        Raises:
            GraftError: the file cannot be read, or its keys or shapes are not the backbone's.
        """
        network = backbone()
        found = network.convert_state_dict(self._read())
        _fit(found, network, f"source.path={self.path}")
        return found

    def _read(self) -> Weights:
        try:
            if self.path.suffix == ".safetensors":
                return load_file(self.path)
            with torch.serialization.safe_globals([Namespace]):  # a script's arguments, beside the weights
                loaded = torch.load(self.path, map_location="cpu", weights_only=True)
        except Exception as error:  # what a reader raises on bytes that are no weights depends on the bytes
            reason = str(error).splitlines()[0] if str(error) else type(error).__name__
            raise GraftError(
                f"source.path={self.path} cannot be read as weights ({reason}); "
                "try a .safetensors file or a state dict written by torch.save"
            ) from None
        inner = [loaded[key] for key in CHECKPOINT_KEYS if key in loaded] if isinstance(loaded, dict) else []
        for mapping in (loaded, *inner):
            if isinstance(mapping, Mapping) and all(isinstance(value, torch.Tensor) for value in mapping.values()):
                return dict(mapping)
        raise GraftError(
            f"source.path={self.path} holds no state dict; expected a mapping of names to tensors, or one under "
            f"{', '.join(CHECKPOINT_KEYS[:-1])} or {CHECKPOINT_KEYS[-1]}"
        )


class Big:
    """Pre-trains the whole backbone on the big split, once for everyone who shares the cache.

    Args:
        epochs: passes over the big split.
        batch_size: images in one batch.
        head: makes the pre-training's head from the numbers of features and of classes.
        optimizer: makes the pre-training's optimiser.
        seed: of initialisation, batch order and dropout; not the trials'.
    """

    trained = True
    pretrains = True

    def __init__(
        self,
        epochs: int,
        batch_size: int,
        head: Callable[..., nn.Module],
        optimizer: Optimizer,
        seed: int = 0,
    ):
        self.epochs, self.batch_size, self.head, self.optimizer, self.seed = (
            epochs,
            batch_size,
            head,
            optimizer,
            seed,
        )

    def trained_on(self, published: WeightsLookup) -> PretrainedInput | None:
        """Return None: they are trained here, on what `dataset.pixels` and `dataset.size` say."""
        return None

    def weights(self, backbone: MakeBackbone, data: Dataset, trainer: MakeTrainer, cache: Path) -> Weights | None:
        """Return the pre-trained weights: from the cache, or trained now and put there.

        Raises:
            GraftError: the big split has no images.
        """
        if len(data.big) == 0:
            raise GraftError("source=big pre-trains on dataset.big, which is empty; try source=scratch")
        with seeded(self.seed, "pretrain"):
            network = backbone()
            network.keep = len(network.stages)  # what is discarded later is trained all the same
            flags = {"max_epochs": self.epochs, "logger": False, "limit_val_batches": 0}
            name = self._name(network, data, trainer(**flags))
            path = cache / "pretrained" / f"{name}.safetensors"
            path.parent.mkdir(parents=True, exist_ok=True)
            with locked(path.with_suffix(".lock")):  # whoever comes second waits, and loads
                found = broadcast_object(read_tensors(path) if rank() == 0 else None)
                if found is not None:
                    return found
                seed_rank(self.seed, "pretrain")
                checkpoint = Checkpoint(path.with_suffix(".ckpt"))
                fit = trainer(**flags, callbacks=[Freeze(), Progress("pre-train"), checkpoint])
                weights = self._pretrain(network, data, fit, checkpoint, path)
                if rank() == 0:
                    checkpoint.remove()
                return broadcast_object(weights)

    def _name(self, network: Backbone, data: Dataset, fit: pl.Trainer) -> str:
        """Return a name made of everything that the weights depend on; `keep` is not among it."""
        settings = (self.epochs, self.batch_size, _call(self.head), _call(self.optimizer), self.seed)
        limits = (fit.max_steps, fit.limit_train_batches, fit.accumulate_grad_batches)
        training = (RESULTS_VERSION, fit.precision, *limits)
        stages = (network.label, network.preprocess, network.stages, network.pool)
        images = (data.images.fingerprint, data.big, data.big_classes)
        return f"{stages[0].lower()}-{fingerprint(*settings, *training, *stages, *images)[:24]}"

    def _pretrain(
        self, network: Backbone, data: Dataset, fit: pl.Trainer, checkpoint: Checkpoint, path: Path
    ) -> Weights:
        start = time.perf_counter()
        front, stages = network.split(0)
        whole = nn.Sequential(stages, self.head(network.num_features(), len(data.big_classes)))
        module = BigDataModule(data, self.batch_size, self.seed)
        inputs = Inputs(data.images.read(module.images), stored=False, shape=network.preprocess.output_shape)
        transfer = TransferModule(front, [synchronized(whole)], Phase(frozen_stages=0, optimizer=self.optimizer))
        checkpoint.fit(fit, transfer, module.with_inputs(inputs.to(fit.strategy.root_device)))
        whole.load_state_dict(transfer.stack.trial(0))  # whose stages are the backbone's own
        seconds = time.perf_counter() - start
        accuracy = float(list(transfer.history.values())[-1])
        about = {"trained_on": json.dumps(asdict(network.preprocess.pixels)), "accuracy": f"{accuracy:.4f}"}
        if rank() == 0:
            write_tensors(path, network.state_dict(), about)
        log.info(
            "pre-trained on %s images of the big split: %.1f %% of them right in the last of %d epochs, %.1f s",
            f"{len(data.big):,}", 100 * accuracy, self.epochs, seconds,
        )  # fmt: skip
        return network.state_dict()


def _call(partial: Callable) -> str:
    """Return what a partial call calls, and with what."""
    function = getattr(partial, "func", partial)
    return f"{public_name(function)}({getattr(partial, 'keywords', {})})"


Source = Scratch | ImageNet | File | Big
