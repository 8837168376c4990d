"""The weights of a model's frozen part: stored in the job's folder, or found elsewhere by their content.

Large frozen parts are the same for many jobs, so a job's folder has only their SHA-256 and where they came from. What
is found is used only if it has this SHA-256, so that a moved, renamed or downloaded copy is as good as the original,
and another file under the same name is not taken.
"""

import os
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, fields
from pathlib import Path, PurePosixPath, PureWindowsPath
from typing import Any

from graft.backbones.staged import Backbone
from graft.errors import GraftError
from graft.files import fingerprint, read_tensors, write_tensors
from graft.model.stages import Weights
from graft.model.weight_values import checked
from graft.model.weights_file import read_weights

FROZEN = "frozen.safetensors"  # in a job's folder: a copy of the cache's file, put there to make the folder whole
PREFIX = "frozen."


@dataclass(frozen=True)
class Origin:
    """Where a frozen part's weights come from.

    Attributes:
        sha256: of the tensors, as `graft.files.fingerprint` has it; of older versions the first 24 digits.
        cache: the cache that the job used; None: the weights are in the job's folder.
        published: the name of the published weights.
        path: the user's file.
        digest: of the user's file.
        prefix: of the names in the user's file.
    """

    sha256: str
    cache: str | None = None
    published: str | None = None
    path: str | None = None
    digest: str | None = None
    prefix: str | None = None


def store_frozen(cache: Path, sha256: str, weights: Weights) -> None:
    """Store the weights of a frozen part, under their names with `PREFIX`, in the cache, unless it has them."""
    path = _in_cache(cache, sha256)
    if not path.exists():
        write_tensors(path, weights)


def read_origin(model: Mapping[str, Any]) -> Origin | None:
    """Return where a model file's frozen weights are; None: in the folder.

    Raises:
        GraftError: it has something else than texts, or a path that leads through other folders.
    """
    given = model.get("frozen")
    if given is None and model.get("frozen_weights"):  # as version 0.1.0 wrote it: cache/frozen/SHA256.safetensors
        path = Path(str(model["frozen_weights"]))
        given = {"sha256": path.stem, "cache": str(path.parent.parent)}
    if given is None:
        return None
    names = [field.name for field in fields(Origin)]
    if not isinstance(given, dict) or not all(key in names and isinstance(text, str) for key, text in given.items()):
        raise GraftError(f"model.yaml: frozen must have texts under {', '.join(names)}, got {given}")
    sha256 = given.get("sha256", "")
    if len(sha256) not in (24, 64) or set(sha256) - set("0123456789abcdef"):
        raise GraftError(f"model.yaml: frozen.sha256 must be a SHA-256, got {sha256 or 'nothing'}")
    for key in given.keys() & {"cache", "path"}:
        forms = PurePosixPath(given[key]), PureWindowsPath(given[key])  # the job may be from another system
        if not any(path.is_absolute() for path in forms) or any(".." in path.parts for path in forms):
            raise GraftError(f"model.yaml: frozen.{key} must be an absolute path without '..', got {given[key]}")
    return Origin(**given)


def find_frozen(folder: Path, origin: Origin, backbone: Backbone, num_frozen: int, typed: Path | None) -> Weights:
    """Find the weights of a model's frozen part.

    Args:
        folder: the job's.
        origin: where they come from.
        backbone: the model's, with any weights.
        num_frozen: how many of its stages are frozen.
        typed: a file that the user names; it is looked at first.

    Raises:
        GraftError: says where they were looked for, and how to mend it.
    """
    tried: list[str] = []
    for place, look in _places(folder, origin, backbone, num_frozen, typed):
        try:
            found = look()
        except (GraftError, OSError) as error:
            tried.append(f"{place}: {str(error).splitlines()[0]}")
            continue
        if found is None:
            tried.append(f"{place}: not there")
        elif fingerprint({PREFIX + name: value for name, value in found.items()}).startswith(origin.sha256):
            return found
        else:
            tried.append(f"{place}: other weights")
    raise GraftError(_not_found(folder, origin, tried))


def _places(
    folder: Path, origin: Origin, backbone: Backbone, num_frozen: int, typed: Path | None
) -> Iterator[tuple[str, Callable[[], Weights | None]]]:
    """Yield the places where the weights may be, in words, and how to get them."""

    def of_source(weights: Mapping[str, Any], prefix: str | None = None) -> Weights:
        converted = backbone.convert_state_dict(weights, prefix)
        whole = checked(converted, backbone.state_dict(), "it", backbone.label)
        backbone.load_state_dict(whole)
        return dict(backbone.split(num_frozen)[0].state_dict())

    def of_file(path: Path) -> Weights | None:
        return of_source(read_weights(path), origin.prefix) if path.is_file() else None

    if typed is not None:
        yield f"weights={typed}", lambda: _stored(typed) or of_file(typed)
    yield str(folder / FROZEN), lambda: _stored(folder / FROZEN)
    for cache in _caches(folder, origin):
        path = _in_cache(cache, origin.sha256)
        yield str(path), lambda path=path: _stored(path)
    if origin.path is not None:
        path = Path(origin.path)
        yield str(path), lambda: of_file(path)
    if origin.published is not None:
        weights = origin.published
        yield (
            f"the published weights {weights} of {backbone.label}",
            lambda: of_source(backbone.published(weights, backbone.model).state_dict()),
        )


def _in_cache(cache: Path, sha256: str) -> Path:
    return cache.absolute() / "frozen" / f"{sha256[:24]}.safetensors"


def _caches(folder: Path, origin: Origin) -> list[Path]:
    """Return the caches that may have the weights: this process's, those beside the job, the job's own."""
    mine = Path(os.environ.get("GRAFT_CACHE", "outputs/cache"))
    beside = [parent / "cache" for parent in list(folder.absolute().parents)[:3]]
    own = [Path(origin.cache)] if origin.cache else []
    return list(dict.fromkeys(path.absolute() for path in (mine, *own, *beside) if path == mine or path.is_dir()))


def _stored(path: Path) -> Weights | None:
    """Return the weights of a file that Graft wrote for a frozen part; None if it is none, or damaged."""
    tensors = (read_tensors(path) if path.is_file() else None) or {}
    return {name.removeprefix(PREFIX): value for name, value in tensors.items() if name.startswith(PREFIX)} or None


def _not_found(folder: Path, origin: Origin, tried: list[str]) -> str:
    name = _in_cache(Path("cache"), origin.sha256).name
    copied = f"copy frozen/{name} from the cache of the machine that trained it to {folder / FROZEN}"
    mend = [f"{copied}, or name it with weights=FILE"]
    if origin.path is not None:
        digest = f" (digest {origin.digest})" if origin.digest else ""
        mend.append(f"name your copy of {Path(origin.path).name}{digest} with weights=FILE")
    if origin.published is not None:
        mend.append("connect to the network or install the package, so that the published weights can be fetched")
    mend.append("next time train with keep_weights=whole, which puts them into the folder")
    return (
        f"the weights of the frozen layers of {folder} are not found; looked for them in\n  "
        + "\n  ".join(tried)
        + "\nto mend this: "
        + "; or ".join(mend)
    )
