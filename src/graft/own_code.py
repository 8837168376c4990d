"""The user's own code: source files that belong neither to Graft nor to an installed package.

A class of the user's, named by a `_target_`, changes results with its source: its digest is part of what a job, a
pre-training and stored features are found by. Do not import torch here: `--help` must answer in under a second.
"""

import ast
import hashlib
import importlib.util
import sys
import sysconfig
import traceback
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import NamedTuple, TypeVar

from graft.errors import GraftError

Built = TypeVar("Built")

LIBRARIES = {Path(sysconfig.get_paths()[name]).resolve() for name in ("stdlib", "platstdlib", "purelib")}
INSTALLED = {"site-packages", "dist-packages"}  # folders of packages, in any environment


class _Read(NamedTuple):
    digest: str | None
    loaded: dict[str, tuple[object, list[object]]]  # what this process had loaded then, by module


_known: dict[str, _Read] = {}


def own_code(module: str) -> str | None:
    """Return a digest of the source of a module and of all that it imports of the user's own.

    An edited file has no effect on what this process has imported: it is read again when that has changed, as by
    `importlib.reload`, or in a notebook by `%autoreload`.

    Returns:
        None for modules of Graft, of Python and of installed packages, and for those without source.
    """
    known = _known.get(module)
    if known is None or any(not _same(before, _loaded(name)) for name, before in known.loaded.items()):
        known = _known[module] = _read(module)
    return known.digest


def forget_own_code() -> None:
    """Forget all digests, as a new process has none."""
    _known.clear()


def _read(module: str) -> _Read:
    found: dict[str, bytes] = {}
    waiting = [module]
    while waiting:
        name = waiting.pop()
        path = None if name in found else _source(name)
        if path is None:
            continue
        found[name] = path.read_bytes()
        waiting += [*_parents(name), *_imported(name, path, found[name])]
    if module not in found:
        return _Read(None, {})
    digest = hashlib.sha256()
    for name in sorted(found):
        digest.update(f"{name}\0{len(found[name])}\0".encode() + found[name])
    return _Read(digest.hexdigest(), {name: _loaded(name) for name in found if name in sys.modules})


def _loaded(name: str) -> tuple[object, list[object]]:
    """Return what tells whether a module was loaded again: its specification, and its functions' code."""
    content = vars(sys.modules[name]) if name in sys.modules else {}
    own = [value for value in content.values() if getattr(value, "__module__", None) == name]
    members = [member for value in own for member in (vars(value).values() if isinstance(value, type) else [value])]
    return content.get("__spec__"), [getattr(member, "__code__", None) for member in members]


def _same(before: tuple[object, list[object]], now: tuple[object, list[object]]) -> bool:
    return before[0] is now[0] and before[1] == now[1]


def _source(name: str) -> Path | None:
    """Return the source file of one of the user's own modules; None for other modules, and for names of none."""
    top = name.partition(".")[0]
    loaded = sys.modules.get(name)
    try:
        # Python imports the packages that a module is in to find it: libraries are not imported for that.
        if top == "graft" or (name != top and not loaded and not any(map(_is_own, _places(top)))):
            return None
        file = getattr(loaded, "__file__", None)
        places = [str(file)] if file else _places(name)
    except (ImportError, AttributeError, ValueError):  # no module: the name of a class, or one that is not installed
        return None
    files = [Path(place).resolve() for place in places if place.endswith(".py") and _is_own(place)]
    return next((path for path in files if path.is_file()), None)


def _places(name: str) -> list[str]:
    """Return where a module is: its file, or the folders of a package without `__init__.py`."""
    spec = importlib.util.find_spec(name)
    if spec is None:
        return []
    return [spec.origin] if spec.origin else list(spec.submodule_search_locations or [])


def _is_own(place: str) -> bool:
    path = Path(place).resolve()
    return path.exists() and LIBRARIES.isdisjoint(path.parents) and INSTALLED.isdisjoint(path.parts)


def _parents(name: str) -> Iterator[str]:
    """Yield the packages that a module is in, whose `__init__.py` runs before it."""
    while "." in name:
        name = name.rpartition(".")[0]
        yield name


def _imported(name: str, path: Path, source: bytes) -> Iterator[str]:
    """Yield the names that a module's import statements may load: of `from a import b` both a and a.b."""
    package = name if path.name == "__init__.py" else name.rpartition(".")[0]
    try:
        nodes = list(ast.walk(ast.parse(source)))
    except (SyntaxError, ValueError):  # its import fails, and says so, if it is ever carried out
        return
    for node in nodes:
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            origin = "." * node.level + (node.module or "")
            try:
                origin = importlib.util.resolve_name(origin, package)
            except ImportError:  # it leaves the package: the import fails, too
                continue
            yield from (origin, *(f"{origin}.{alias.name}" for alias in node.names))


def failure(error: Exception) -> str:
    """Return why the user's own code failed, and in which line of it: `ValueError: too wide in heads.py, line 9`."""
    return f"{type(error).__name__}: {(str(error).splitlines() or ['no reason given'])[0]}{own_line(error)}"


def built(make: Callable[[], Built], name: str, group: str) -> Built:
    """Return what `make` makes of a group's option.

    Raises:
        GraftError: the user's own code fails, or an argument is missing.
    """
    try:
        return make()
    except GraftError:
        raise
    except Exception as error:
        if not own_line(error) and not isinstance(error, TypeError):  # an argument is missing
            raise
        raise GraftError(
            f"{name} cannot be built ({failure(error)}); try other keys of the {group}, +{group}.KEY=VALUE"
        ) from None


def own_line(error: Exception) -> str:
    """Return the last line of the user's own code that an error went through; empty if it has none."""
    frames = traceback.extract_tb(error.__traceback__)
    own = [each for each in frames if _is_own(each.filename) and not _is_graft(each.filename)]
    return f" in {own[-1].filename}, line {own[-1].lineno}" if own else ""


def _is_graft(file: str) -> bool:
    """Return whether a file is in Graft's package, or one of its entry points beside it."""
    path, package = Path(file).resolve(), Path(__file__).resolve().parent
    return path.is_relative_to(package) or path.parent == package.parent
