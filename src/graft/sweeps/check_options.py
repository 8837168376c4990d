"""Options of a sweep that cannot run: those of a glob that need a further key, and networks that no library has.

Hydra calls this before anything heavy is imported: do not import torch or pandas here.
"""

from collections.abc import Iterable, Sequence

from hydra.core.override_parser.overrides_parser import OverridesParser
from hydra.core.override_parser.types import Glob
from hydra.utils import get_class
from omegaconf import DictConfig, OmegaConf

from graft.errors import ConfigError, GraftError, UnavailableError
from graft.process import tell


def complete_jobs(jobs: Sequence[DictConfig], typed: Iterable[str]) -> list[DictConfig]:
    """Return a grid's jobs without those of options that a glob lists although a key of theirs has no value.

    A line names these options and keys. A glob is one of the sweep's overrides, as they were typed: `backbone=glob(*)`.

    Raises:
        GraftError: no job is left.
    """
    parsed = OverridesParser.create().parse_overrides(list(typed))
    groups = [each.get_key_element() for each in parsed if isinstance(each.value(), Glob)]
    kept, left_out = [], {}
    for job in jobs:
        missing = [(group, key) for group in groups for key in _missing(job, group)]
        left_out |= {f"{group}={job.hydra.runtime.choices[group]}": key for group, key in missing}
        kept += [] if missing else [job]
    if not left_out:
        return kept
    keys = ", ".join(dict.fromkeys(left_out.values()))
    first, key = next(iter(left_out.items()))
    said = f"{' and '.join(left_out)}, for which {keys} must be given"
    example = f"try {first} {key}=VALUE, or -m with several values"
    if not kept:
        raise GraftError(f"this sweep has no jobs: the glob lists only {said}; {example}")
    tell(
        f"left out of the glob: {said}; to add {'it' if len(left_out) == 1 else 'them'}, {example} and another name=, "
        "and src/report.py compares both"
    )
    return kept


def _missing(job: DictConfig, group: str) -> list[str]:
    """Return the keys of a group's option that have no value."""
    option = OmegaConf.select(job, group)
    return sorted(OmegaConf.missing_keys(option)) if isinstance(option, DictConfig) else []


def check_networks(configs: Iterable[DictConfig]) -> None:
    """Refuse networks that their library does not have.

    Only a sweep that names networks waits for the import of their library. If it is not installed, the job says so.

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
