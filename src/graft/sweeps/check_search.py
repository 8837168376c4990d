"""The checks of a search: whether it has Optuna, validation images by which it chooses, and the data of its first jobs.

Hydra calls this before anything heavy is imported: do not import torch at the top of this module.
"""

import importlib.util
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

from omegaconf import DictConfig, OmegaConf

from graft.config.build import to_plain
from graft.config.identity import content_digests
from graft.config.values import Values
from graft.errors import GraftError


def check_search(jobs: Sequence[DictConfig]) -> None:
    """Refuse a search without Optuna, or without validation images in a job at the ends of its ranges.

    Raises:
        GraftError: names what to install, or the key to set.
    """
    option = jobs[0].hydra.runtime.choices.get("sweep")
    if importlib.util.find_spec("optuna") is None:
        raise GraftError(f'sweep={option} needs Optuna; try pip install -e ".[optuna]"')
    if not all(map(_may_have_validation, jobs)):
        raise _no_validation(option)


def check_own_validation(configs: Iterable[DictConfig], option: str) -> None:
    """Refuse a search on data whose validation images are all of classes or domains that its jobs do not test.

    Raises:
        GraftError: there are none, or the data cannot be read.
    """
    for cfg in {OmegaConf.to_yaml(cfg.dataset): cfg for cfg in configs}.values():
        if cfg.dataset.val_per_class:
            continue
        from graft.run.make_plan import planned_data  # other sweeps need no PyTorch here

        if not len(planned_data(cfg)[0].val):
            raise _no_validation(option, " of the small split")


def refuse_changed(results: Mapping[Path, Mapping[str, Any]], cache: str) -> None:
    """Refuse to go on with a search whose finished jobs have seen other images, or other files, than are there now.

    A grid runs such jobs again. A search has chosen its next jobs by their outcomes, and would count them as finished.

    Raises:
        GraftError: names one of these jobs, and what has changed.
    """
    from graft.run.make_plan import planned_images  # torch takes seconds: only if a search is resumed

    images: dict[str, str] = {}  # fingerprints, by what chooses them
    for folder, result in results.items():
        made_from, config = result.get("contents") or {}, {**result["config"], "cache": cache}
        if not made_from:  # a result of an older version
            continue
        digests = content_digests(config)
        changed = [key for key, digest in made_from["files"].items() if digests.get(key) != digest]
        chosen = str([config[key] for key in ("dataset", "source", "backbone")])
        if not changed and chosen not in images:
            images[chosen] = planned_images(OmegaConf.create(config)).fingerprint
        if changed or images[chosen] != made_from["images"]:
            raise GraftError(
                f"{folder} is a finished job of this search, and was made from other data: the content of "
                f"{', '.join(changed) or 'the data set'} has changed since, so that its outcome is not comparable with "
                "those of further jobs; try another name=, or remove the folder of the search"
            )


def _no_validation(option: str, where: str = "") -> GraftError:
    return GraftError(
        f"there are no validation images{where}, and sweep={option} chooses jobs by validation accuracy (never by "
        "test images); try dataset.val_per_class=20"
    )


def _may_have_validation(job: DictConfig) -> bool:
    """Return whether a job draws validation images, or its data have a part of them beside test images.

    Raises:
        GraftError: the data set's folder, or its table, has no clear meaning.
    """
    values = Values(job)
    if job.dataset.val_per_class or not values.in_files():
        return bool(job.dataset.val_per_class)
    from graft.reading.layout import find_parts  # other sweeps need no Pillow
    from graft.tables.table_files import table_parts
    from graft.tables.table_rows import listing_of

    if values.target("dataset") == "HuggingFace":
        return True  # it is loaded once all else is checked
    if values.target("dataset") == "Table":
        return "val" in table_parts(listing_of(to_plain(job.dataset)))
    root = Path(job.dataset.root or ".").expanduser()
    return root.is_dir() and "val" in find_parts(root)
