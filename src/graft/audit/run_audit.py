"""`python src/audit.py`: what is in a data set before anything trains."""

import logging
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import torch
from omegaconf import DictConfig, OmegaConf

from graft.analysis.doubts import likely_wrong
from graft.audit.altered import altered_copies
from graft.audit.control import control
from graft.audit.copies import Pair, blank, exact_copies, near_copies
from graft.audit.finding import write_findings
from graft.audit.inventory import Inventory
from graft.audit.outliers import outliers
from graft.audit.summary import Account
from graft.audit.suspects import out_of_fold
from graft.audit.thumbnails import Thumbnails, pictures, thumbnails
from graft.audit.vectors import Vectors, of_features, of_pixels
from graft.backbones.own_backbone import checked_backbone
from graft.config.build import build_as
from graft.data.dataset import Dataset
from graft.data.preprocess import InputSpec
from graft.errors import ConfigError, GraftError
from graft.process import prepare_for_training
from graft.run.make_plan import planned_backbone, planned_data
from graft.training.features import FeatureStore
from graft.training.source import Source

log = logging.getLogger("graft")

# With these, one after the other, a data set is read whatever it has; `train.py` may ask for more.
READABLE = {"skip_unreadable": True}
FEWER = {"small_per_class": 1, "small_total": None, "val_per_class": 0}
SPLITS = {"test_per_class": None, "folds": None, "short": "use"}
COPIES = {"duplicates": "keep"}  # where no class has two images without them
SIZE = 64  # pixels of files of several shapes, which only the vectors of features read at their own size


def main(cfg: DictConfig, folder: Path) -> None:
    """Audit a data set: print a summary, and write `audit.csv` and contact sheets.

    Args:
        cfg: the composed configuration of conf/audit.yaml.
        folder: for the files.

    Raises:
        GraftError: the data set or the network cannot be read.
    """
    prepare_for_training()
    source = build_as(Source, cfg, "source")
    data, spec = _data(cfg, source)
    found = Inventory(data)
    account = Account(found, folder, cfg.num_shown)
    small = thumbnails(data.images, found.indices, Path(cfg.cache) / "thumbnails")
    account.files(found.ignored(), small.reasons)
    readable = np.flatnonzero(small.readable)
    if len(readable) == 0:
        raise GraftError("no image of the data set can be read; python src/train.py names the reasons")
    exact, near, compared = _copies(account, found, small, readable)
    vectors = _vectors(cfg, source, data, spec, small, found.indices[readable])
    altered = _altered_copies(account, vectors, small, readable, compared, near)
    same = _numbers(len(found.labels), [*exact, *[pair[:2] for pair in (*near, *altered)]])[readable]
    if source.trained is False and "activation" not in cfg.backbone:
        log.warning("backbone=%s has no weights with source=scratch; try source=imagenet", _choice(cfg.backbone))
    labels = found.labels[readable]
    together = _with_groups(same, data.images.groups, found.indices[readable])
    judged = out_of_fold(vectors, labels, together, cfg.num_folds)
    doubted = None if judged is None else likely_wrong(judged.labels, judged.probabilities)
    account.labels(vectors, readable, judged, doubted)
    first = np.unique(same, return_index=True)[1]
    account.outliers(vectors, [(int(readable[place]), score) for place, score in outliers(vectors, first)])
    colors = small.pixels[readable].float().mean((2, 3)).numpy()
    account.control(control(data.images, found.indices[readable], colors, labels, together))
    write_findings(folder / "audit.csv", account.findings())
    account.show()


def _data(cfg: DictConfig, source: Source) -> tuple[Dataset, InputSpec]:
    """Return the data set, although training might refuse it: then a line says why.

    Files that cannot be read are left out, and are findings.
    """
    cfg = cfg.copy()
    OmegaConf.set_struct(cfg, False)
    if not source.trained and "size" in cfg.dataset and cfg.dataset.size is None:
        cfg.dataset.size = SIZE
    refused: dict[tuple[str, ...], GraftError] = {}
    found, asked = _planned(cfg, source, refused), []
    for lenient in (READABLE, FEWER, SPLITS, COPIES):
        if found is not None:
            break
        keys = [key for key in ("test_per_class", "folds") if key in lenient and cfg.dataset.get(key) is not None]
        asked += [f"dataset.{key}={cfg.dataset[key]}" for key in keys]
        cfg.dataset.update({key: value for key, value in lenient.items() if key in cfg.dataset})
        found = _planned(cfg, source, refused)
    if found is None:
        raise [*refused.values()][-1]
    if asked:
        log.warning("the splits below are without %s", " and ".join(asked))
    for reason in refused.values():
        log.warning("train.py would refuse this data set: %s", reason)
    return found


def _planned(
    cfg: DictConfig, source: Source, refused: dict[tuple[str, ...], GraftError]
) -> tuple[Dataset, InputSpec] | None:
    """Return the data set; None if training would refuse it.

    Args:
        cfg: the configuration.
        source: of the weights.
        refused: takes the reason, the first one of the same keys.
    """
    try:
        return planned_data(cfg, source)
    except ConfigError as error:
        if not any(fault.key.startswith("dataset.") for fault in error.faults):
            raise
        refused.setdefault(tuple(fault.key for fault in error.faults), error)
    except GraftError as error:
        if "skip_unreadable" not in cfg.dataset or cfg.dataset.skip_unreadable:
            raise
        refused[()] = error
    return None


def _copies(
    account: Account, found: Inventory, small: Thumbnails, readable: np.ndarray
) -> tuple[list[list[int]], list[Pair], np.ndarray]:
    """Find exact and near copies; return both, and the places of the images that were compared."""
    exact = [group for group in exact_copies(found.hashes) if small.readable[group[0]]]
    account.exact_copies(exact)
    empty = blank(small.pixels) & small.readable
    account.blank(np.flatnonzero(empty))
    later = {place for group in exact for place in group[1:]}
    compared = np.array([place for place in readable.tolist() if place not in later and not empty[place]], dtype=int)
    near = near_copies(small, compared, lambda places: pictures(found.images, found.indices[places]))
    account.near_copies(near)
    return exact, near, compared


def _altered_copies(
    account: Account,
    vectors: Vectors,
    small: Thumbnails,
    readable: np.ndarray,
    compared: np.ndarray,
    near: Sequence[Pair],
) -> list[Pair]:
    """Find altered copies, which a network's features name: without features none are looked for.

    Args:
        account: takes them.
        vectors: of the images that can be read.
        small: thumbnails of all images.
        readable: places of the images that can be read.
        compared: places of those to compare.
        near: the near copies, by places.
    """
    if not vectors.learned:
        account.altered_copies(None)
        return []
    place = {int(each): position for position, each in enumerate(compared)}
    known = [(place[pair.first], place[pair.second]) for pair in near]
    directions = vectors.directions[np.searchsorted(readable, compared)]
    pairs = altered_copies(directions, small.pixels[compared], known)
    found = [pair._replace(first=int(compared[pair.first]), second=int(compared[pair.second])) for pair in pairs]
    account.altered_copies(found)
    return found


def _numbers(count: int, copies: Sequence[Sequence[int]]) -> np.ndarray:
    """Return a number for each image, the same for images that are copies."""
    same = np.arange(count)
    for first, *others in copies:
        for other in others:
            same[same == same[other]] = same[first]
    return same


def _with_groups(same: np.ndarray, groups: Sequence[str], indices: torch.Tensor) -> np.ndarray:
    """Return a number for each image, the same for copies and for images of one group: no fold parts them."""
    together = same.copy()
    if not groups:
        return together
    names = np.array([groups[index] for index in indices.tolist()], dtype=object)
    for name in np.unique(names):
        numbers = np.unique(together[names == name])
        together[np.isin(together, numbers)] = numbers[0]
    return together


def _vectors(
    cfg: DictConfig, source: Source, data: Dataset, spec: InputSpec, small: Thumbnails, indices: torch.Tensor
) -> Vectors:
    """Return the vectors of the images that can be read."""
    if not source.trained:
        return of_pixels(small)
    cache, device = Path(cfg.cache), torch.device("cuda" if torch.cuda.is_available() else "cpu")
    make = planned_backbone(cfg, spec.preprocess(data.images.shape))
    network = checked_backbone(make, data.images.shape)
    weights = source.weights(make, data, _no_trainer, cache)
    assert weights is not None
    network.load_state_dict(weights)
    frozen, _ = network.split(network.keep)
    features = FeatureStore(cache / "features", device, network.label).features(frozen, data.images, indices)
    return of_features(features, f"the features of {network.label}")


def _no_trainer(**_):
    raise AssertionError("an audit's sources train nothing")


def _choice(option: DictConfig) -> str:
    return str(option.get("model") or option._target_.rpartition(".")[2])
