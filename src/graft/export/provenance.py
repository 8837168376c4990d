"""Where a model's data and weights come from, and under which license, as far as it is known."""

from collections.abc import Mapping
from typing import Any

from graft.backbones.backbone_timm import EfficientNetLite0, EfficientNetLite2
from graft.backbones.pretrained_timm import PACKAGES, timm
from graft.errors import GraftError

# The data sets that Graft knows by name, and the pages that say under which terms they may be used.
DATA = {
    "MNIST": "https://yann.lecun.com/exdb/mnist/",
    "MNIST5k": "https://yann.lecun.com/exdb/mnist/, of which it is a part",
    "FashionMNIST": "https://github.com/zalandoresearch/fashion-mnist",
    "CIFAR10": "https://www.cs.toronto.edu/~kriz/cifar.html",
    "CIFAR100": "https://www.cs.toronto.edu/~kriz/cifar.html",
}
TORCHVISION = "https://docs.pytorch.org/vision/stable/models.html"
PACKAGED = {network.__name__: PACKAGES[network.name] for network in (EfficientNetLite0, EfficientNetLite2)}


def data_license(config: Mapping[str, Any]) -> str:
    """Return in words what is known of the license of a job's images."""
    name = _name(config, "dataset")
    return f"see {DATA[name]}" if name in DATA else "not known to Graft; the author fills it in here"


def weights_source(config: Mapping[str, Any], files: Mapping[str, str]) -> list[str]:
    """Return in words where a backbone's first weights come from, and their license.

    Args:
        config: of the job.
        files: digests of the files that the job read, by key.
    """
    source, own = config.get("source") or {}, _name(config, "source")
    if own == "Scratch":
        return ["random: the whole network was trained on the images below"]
    if own == "Big":
        what = "classes" if (config.get("dataset") or {}).get("small_domain") is None else "domains"
        return [f"trained by Graft on other {what} of the same data set; their license: {data_license(config)}"]
    if own == "File":
        digest = files.get("source.path")
        copy_of = f", a copy of the published weights {source['weights']}" if source.get("weights") else ""
        lines = [f"the file {source.get('path')}{copy_of}" + (f", digest {digest}" if digest else "")]
        return [*lines, "license: that of the file, not known to Graft; the author fills it in here"]
    return _published(config.get("backbone") or {}, _name(config, "backbone"), str(source.get("weights")))


def _published(backbone: Mapping[str, Any], name: str, weights: str) -> list[str]:
    """Return where published weights come from: torchvision's, timm's, or those of a package."""
    target = str(backbone.get("_target_"))
    if name in PACKAGED:
        page = f"https://github.com/ml-illustrated/{PACKAGED[name].replace('-', '_')}"
        return [
            f"ImageNet weights of {name} in the Python package {PACKAGED[name]} 0.1.0",
            f"license: the package states none; see {page}, and for the original weights "
            "https://github.com/tensorflow/tpu/tree/master/models/official/efficientnet/lite",
        ]
    if not target.startswith("graft.backbone_timm."):
        network = backbone.get("model") or name
        return [
            f"torchvision's published weights {weights} of {network}",
            f"license: torchvision states none for weights; see {TORCHVISION}",
        ]
    model = str(backbone.get("model"))
    model = model if weights == "DEFAULT" else f"{model.partition('.')[0]}.{weights}"
    try:
        found = timm().get_pretrained_cfg(model)
    except (GraftError, RuntimeError):
        found = None
    place = f"https://huggingface.co/{found.hf_hub_id}" if found and found.hf_hub_id else "https://huggingface.co/timm"
    license = f"{found.license}, as timm has it; see {place}" if found and found.license else f"see {place}"
    return [f"timm's published weights {model}", f"license: {license}"]


def _name(config: Mapping[str, Any], group: str) -> str:
    return str((config.get(group) or {}).get("_target_")).rpartition(".")[-1]
