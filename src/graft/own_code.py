"""The user's own code: source files that belong neither to Graft nor to an installed package.

A class of the user's, named by a `_target_`, changes results with its source: its digest is part of what a job, a
pre-training and stored features are found by. Do not import torch here: `--help` must answer in under a second.
"""

import ast
import functools
import hashlib
import importlib.util
import sys
import sysconfig
import traceback
from collections.abc import Iterator
from pathlib import Path

LIBRARIES = tuple(f"{Path(sysconfig.get_paths()[name]).resolve()}/" for name in ("stdlib", "platstdlib", "purelib"))
INSTALLED = {"site-packages", "dist-packages"}  # folders of packages, in any environment


@functools.cache  # an edited file has no effect on a class that this process has imported
def own_code(module: str) -> str | None:
    """Return a digest of the source of a module and of all that it imports of the user's own.

    Returns:
        None for modules of Graft, of Python and of installed packages, and for those without source.
    """
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
        return None
    digest = hashlib.sha256()
    for name in sorted(found):
        digest.update(f"{name}\0{len(found[name])}\0".encode() + found[name])
    return digest.hexdigest()


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
    return path.exists() and not str(path).startswith(LIBRARIES) and INSTALLED.isdisjoint(path.parts)


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


def own_line(error: Exception) -> str:
    """Return the last line of the user's own code that an error went through; empty if it has none."""
    frames = traceback.extract_tb(error.__traceback__)
    own = [each for each in frames if _is_own(each.filename) and not _is_graft(each.filename)]
    return f" in {own[-1].filename}, line {own[-1].lineno}" if own else ""


def _is_graft(file: str) -> bool:
    return Path(file).resolve().is_relative_to(Path(__file__).parent)
