"""The imports between the rooms of src/graft, and their picture: `python tests/rooms.py` redraws it in the page."""

import ast
import re
from pathlib import Path

ROOT = Path(__file__).parent.parent
PAGE = ROOT / "docs" / "architecture.md"
ROOMS = (
    *("ground", "config", "reading", "tables", "data", "solvers", "model", "backbones", "heads", "stack", "training"),
    *("inference", "statistics", "results", "analysis", "report", "figures", "page", "commands", "logs", "run"),
    *("audit", "export", "sweeps", "api"),
)
DRAWN = re.compile(r"```mermaid\n.*?```", re.DOTALL)


def imports(source: Path) -> dict[str, set[str]]:
    """Return the modules of graft that each module of graft imports, anywhere in it, for types too.

    Not the package itself: it imports the names of the Python interface when they are used.
    """
    modules = {
        ".".join(path.relative_to(source).with_suffix("").parts).removesuffix(".__init__"): path
        for path in (source / "graft").rglob("*.py")
    }
    found: dict[str, set[str]] = {}
    for name, path in modules.items():
        found[name] = set()
        for node in ast.walk(ast.parse(path.read_text())):
            if isinstance(node, ast.Import):
                names = [alias.name for alias in node.names]
            elif isinstance(node, ast.ImportFrom):
                assert not node.level, f"{path}: relative imports hide their room"
                names = [f"{node.module}.{alias.name}" for alias in node.names]
            else:
                continue
            for imported in names:
                module = imported if imported in modules else imported.rpartition(".")[0]
                if module in modules and module != name:
                    found[name].add(module)
    return found | {"graft": set()}


def room(module: str) -> str:
    """Return a module's room; ground: the loose files in src/graft."""
    return module.split(".")[1] if module.count(".") > 1 or module.split(".")[-1] in ROOMS else "ground"


def arrows(found: dict[str, set[str]]) -> dict[str, set[str]]:
    """Return the rooms that each room imports, without those that one of the others imports anyway."""
    direct: dict[str, set[str]] = {room(name): set() for name in found}
    for name, others in found.items():
        direct[room(name)] |= {room(other) for other in others} - {room(name)}

    def below(name: str) -> set[str]:
        return direct[name].union(*map(below, direct[name]))

    return {name: others - set().union(*map(below, others)) for name, others in direct.items()}


def picture(found: dict[str, set[str]]) -> str:
    """Return the rooms, with the names of their modules, and their imports as a Mermaid flowchart."""
    below = arrows(found)
    shown = [name for name in reversed(ROOMS) if name in below]
    lines = ["```mermaid", "flowchart TD"]
    for name in shown:
        modules = sorted(module.rpartition(".")[2] for module in found if room(module) == name and module != "graft")
        lines.append(f'    {name}["<b>{name}</b><br>{", ".join(module for module in modules if module != name)}"]')
    lines += [f"    {name} --> {other}" for name in shown for other in shown if other in below[name]]
    return "\n".join([*lines, "```"])


def main() -> None:
    PAGE.write_text(DRAWN.sub(picture(imports(ROOT / "src")), PAGE.read_text()))


if __name__ == "__main__":
    main()
