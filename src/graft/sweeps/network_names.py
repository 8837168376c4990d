"""Names of torchvision's and timm's networks in a sweep: unknown ones are refused before the first job runs."""

from collections.abc import Iterable

from hydra.utils import get_class
from omegaconf import DictConfig

from graft.errors import ConfigError, UnavailableError


def check_networks(configs: Iterable[DictConfig]) -> None:
    """Refuse networks that their library does not have.

    Only a sweep that names networks waits for the import of their library. If it is not installed, the job says so.

    Args:
        configs: one for each job.

    Raises:
        ConfigError: has all unknown names.
    """
    backbones = [cfg.backbone for cfg in configs if cfg.backbone.get("model") is not None]
    named = {(str(each.get("_target_")), str(each.model)) for each in backbones}
    faults = []
    for target, model in sorted(each for each in named if each[0].startswith("graft.")):
        try:
            get_class(target).published_names(model)
        except ConfigError as error:
            faults += error.faults
        except UnavailableError:
            continue
    if faults:
        raise ConfigError(faults)
