"""The rooms of src/graft: imports go down only, no file is in a circle, and public names lead to their modules."""

import ast
import os
import subprocess
import sys
from pathlib import Path

import pytest
from conftest import ROOT
from omegaconf import DictConfig, OmegaConf
from rooms import imports, room

import graft

SOURCE = ROOT / "src"
# What each room may import besides itself. ground: the loose files in src/graft.
BELOW = {
    "ground": set(),
    "config": {"ground"},
    "reading": {"ground"},
    "tables": {"ground", "reading"},
    "data": {"ground", "reading", "tables"},
    "solvers": set(),
    "model": {"ground", "data"},
    "backbones": {"ground", "data", "model"},
    "heads": {"ground", "solvers", "model"},
    "stack": {"ground", "model"},
    "training": {"ground", "config", "data", "solvers", "model", "backbones", "heads", "stack"},
    "inference": {
        "ground",
        "config",
        "reading",
        "tables",
        "data",
        "model",
        "backbones",
        "heads",
        "training",
        "statistics",
        "results",
        "analysis",
    },
    "statistics": {"ground"},
    "results": {"ground", "config", "statistics"},
    "analysis": {"ground", "statistics", "results"},
    "report": {"ground", "statistics", "results"},
    "figures": {"ground", "config", "statistics", "results", "analysis", "report"},
    "page": {"ground", "statistics", "results", "analysis", "report", "figures"},
    "logs": {
        "ground",
        "analysis",
        "config",
        "data",
        "training",
        "statistics",
        "results",
        "report",
        "figures",
        "page",
    },
    "run": {
        "ground",
        "logs",
        "config",
        "data",
        "solvers",
        "model",
        "backbones",
        "heads",
        "stack",
        "training",
        "inference",
        "statistics",
        "results",
        "report",
        "figures",
        "page",
    },
    "commands": {"ground", "analysis", "reading", "data", "inference", "statistics", "results", "report"},
    "audit": {
        "ground",
        "analysis",
        "config",
        "reading",
        "data",
        "backbones",
        "training",
        "inference",
        "figures",
        "run",
    },
    "export": {
        "ground",
        "analysis",
        "config",
        "reading",
        "data",
        "backbones",
        "inference",
        "statistics",
        "results",
        "commands",
        "run",
    },
    "sweeps": {
        "ground",
        "config",
        "reading",
        "tables",
        "data",
        "training",
        "statistics",
        "results",
        "report",
        "page",
        "run",
    },
    "api": {
        "ground",
        "config",
        "reading",
        "tables",
        "data",
        "training",
        "inference",
        "results",
        "report",
        "figures",
        "page",
        "run",
        "sweeps",
    },
}


def upward(found: dict[str, set[str]]) -> list[str]:
    return [
        f"{name} imports {other}"
        for name, others in sorted(found.items())
        for other in sorted(others)
        if room(name) != room(other) and room(other) not in BELOW[room(name)]
    ]


def circle(found: dict[str, set[str]]) -> list[str]:
    """Return the modules of one circle of imports; empty if there is none."""
    done: set[str] = set()

    def visit(name: str, path: list[str]) -> list[str]:
        if name in path:
            return path[path.index(name) :]
        if name in done:
            return []
        for other in sorted(found[name]):
            inside = visit(other, [*path, name])
            if inside:
                return inside
        done.add(name)
        return []

    return next((inside for name in sorted(found) if (inside := visit(name, []))), [])


def test_imports_go_down_only_and_in_no_circle():
    found = imports(SOURCE)
    assert len(found) > 50
    assert {room(name) for name in found} <= BELOW.keys()
    assert upward(found) == []
    assert circle(found) == []


@pytest.mark.parametrize(
    ("module", "line", "fault"),
    [
        ("data/images", "from graft.training import transfer", "graft.data.images imports graft.training.transfer"),
        ("figures/plot", "import graft.heads.head", "graft.figures.plot imports graft.heads.head"),
        ("seed", "    from graft.config import knobs", "graft.seed imports graft.config.knobs"),
        ("config/check", "from graft.run import plan", "graft.config.check imports graft.run.plan"),
    ],
)
def test_an_import_upwards_is_found(tmp_path: Path, module: str, line: str, fault: str):
    planted = copied(tmp_path)
    path = planted / "graft" / f"{module}.py"
    path.write_text(f"{path.read_text()}\n\ndef planted():\n    {line.strip()}\n")
    assert upward(imports(planted)) == [fault]


def test_a_circle_is_found(tmp_path: Path):
    planted = copied(tmp_path)
    path = planted / "graft" / "data" / "images.py"
    path.write_text(f"from graft.data.views import Views\n{path.read_text()}")
    assert {"graft.data.images", "graft.data.views"} <= set(circle(imports(planted)))
    assert upward(imports(planted)) == []


def copied(tmp_path: Path) -> Path:
    for path in (SOURCE / "graft").rglob("*.py"):
        target = tmp_path / path.relative_to(SOURCE)
        target.parent.mkdir(parents=True, exist_ok=True)
        target.write_text(path.read_text())
    return tmp_path


def test_rooms_stay_small():
    for folder in {path.parent for path in (SOURCE / "graft").rglob("*.py")}:
        assert len(list(folder.glob("*.py"))) <= 16, folder
    long = {path.name: lines for path in SOURCE.rglob("*.py") if (lines := len(path.read_text().splitlines())) > 250}
    assert long == {}


def test_tests_have_the_same_rooms():
    here = {path.name for path in (ROOT / "tests").iterdir() if path.is_dir() and list(path.glob("test_*.py"))}
    there = {path.name for path in (SOURCE / "graft").iterdir() if (path / "__init__.py").exists()}
    assert here == there | {"end_to_end"}
    for path in (ROOT / "tests").rglob("test_*.py"):
        if path.parent.name not in ("end_to_end", "tests"):
            module = SOURCE / "graft" / path.parent.name / f"{path.stem.removeprefix('test_')}.py"
            assert module.exists(), f"{path} mirrors no module"


def test_no_two_files_of_tests_have_one_name():  # pytest could import only one of them
    names = [path.name for path in (ROOT / "tests").rglob("test_*.py")]
    assert sorted(names) == sorted(set(names))


def test_every_public_name_leads_to_its_module_and_no_other_is_used():
    assert {
        path.stem: path.parent.name
        for path in (SOURCE / "graft").glob("*/*.py")
        if path.stem in graft.ROOMS  # a second module of that name would appear here
    } == graft.ROOMS
    for name, place in graft.ROOMS.items():
        assert getattr(graft, name).__name__ == f"graft.{place}.{name}"
    used = {"preprocess"}  # model.yaml names it, and no option
    for path in (ROOT / "conf").rglob("*.yaml"):
        used |= {target.split(".")[1] for target in targets(OmegaConf.load(path)) if target.startswith("graft.")}
    assert used == graft.ROOMS.keys()
    with pytest.raises(AttributeError, match="no attribute 'plan'"):
        graft.plan  # noqa: B018


def targets(node: object) -> list[str]:
    if not isinstance(node, DictConfig):
        return []
    keys = [str(key) for key in node]
    keys = [key for key in keys if not OmegaConf.is_missing(node, key) and not OmegaConf.is_interpolation(node, key)]
    inner = [target for key in keys for target in targets(node[key])]
    return [*inner, *([node._target_] if "_target_" in node else [])]


def test_modules_before_the_check_import_no_torch():
    modules = [f"graft.config.{path.stem}" for path in (SOURCE / "graft" / "config").glob("[!_]*.py")]
    modules += [
        "graft.ending",
        "graft.errors",
        "graft.files",
        "graft.process",
        "graft.job_folder",
        "graft.sweeps.sweep",
    ]
    script = f"import sys, {', '.join(modules)}; print('torch' in sys.modules, 'pandas' in sys.modules)"
    environment = {**os.environ, "PYTHONPATH": str(SOURCE)}
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True, env=environment)
    assert done.stdout.split() == ["False", "False"]


def test_the_package_is_imported_at_once_and_leads_to_all_names_of_its_interface():
    script = "import sys, graft; print(*({'torch', 'pandas', 'hydra', 'omegaconf'} & sys.modules.keys()), dir(graft))"
    environment = {**os.environ, "PYTHONPATH": str(SOURCE)}
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True, env=environment)
    assert done.stdout.startswith("['")
    assert all(f"'{name}'" in done.stdout for name in graft.__all__)
    assert {*graft.NAMES, "run"} == set(graft.__all__)
    for name in graft.__all__:
        assert callable(getattr(graft, name))


def test_reports_need_no_torch(tmp_path: Path):
    script = "import sys, graft.page.show; print('torch' in sys.modules)"
    environment = {**os.environ, "PYTHONPATH": str(SOURCE)}
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True, env=environment)
    assert done.stdout.split() == ["False"]


# Their parameters are keys of the configuration, which each user may set.
FORCED = {
    "graft/data/augment.py:Distort",
    "graft/data/dataset.py:Dataset",
    "graft/data/dataset_table.py:Table",
    "graft/data/dataset_table.py:HuggingFace",
}


def branches(function: ast.AST) -> int:
    """Count the points at which a function branches: if, for, while, except, and, or, and an if in an expression."""
    count = 0
    for node in ast.walk(function):
        if isinstance(node, ast.If | ast.IfExp | ast.For | ast.While | ast.ExceptHandler | ast.match_case):
            count += 1
        elif isinstance(node, ast.comprehension):
            count += len(node.ifs)
        elif isinstance(node, ast.BoolOp):
            count += len(node.values) - 1
    return count


def large_functions(path: Path, name: str) -> list[str]:
    """Return the functions of a file that have too many lines (without their docstring), branches or parameters."""
    tree = ast.parse(path.read_text())
    owners = {
        function: f"{name}:{owner.name}"
        for owner in ast.walk(tree)
        if isinstance(owner, ast.ClassDef)
        for function in owner.body
    }
    found = []
    for node in ast.walk(tree):
        if isinstance(node, ast.FunctionDef):
            docstring = ast.get_docstring(node, clean=False) or ""
            lines = (node.end_lineno or 0) - node.lineno + 1 - len(docstring.splitlines())
            names = [argument.arg for argument in (*node.args.posonlyargs, *node.args.args, *node.args.kwonlyargs)]
            parameters = [name for name in names if name not in ("self", "cls")]
            forced = node.name == "__init__" and owners.get(node) in FORCED
            if lines > 40 or branches(node) > 12 or (len(parameters) > 7 and not forced):
                found.append(f"{name}:{node.name}")
    return found


def test_functions_stay_small(tmp_path: Path):
    for path in SOURCE.rglob("*.py"):
        assert large_functions(path, str(path.relative_to(SOURCE))) == []
    planted = tmp_path / "planted.py"
    planted.write_text("def many(a, b, c, d, e, f, g, h): ...\n\n\ndef branching(x):\n" + "    x = x or 1\n" * 13)
    assert large_functions(planted, "planted") == ["planted:many", "planted:branching"]


def test_nothing_private_of_a_library_is_imported():
    for path in SOURCE.rglob("*.py"):
        for node in ast.walk(ast.parse(path.read_text())):
            if isinstance(node, ast.ImportFrom):
                names = [*str(node.module).split("."), *(alias.name for alias in node.names)]
            elif isinstance(node, ast.Import):
                names = [part for alias in node.names for part in alias.name.split(".")]
            else:
                continue
            private = [name for name in names if name.startswith("_") and not name.startswith("__")]
            assert not private, f"{path} imports {private}"


# Documented names with an underscore: Hydra's key, the interface of named tuples, os._exit.
PUBLIC = {"_target_", "_fields", "_replace", "_exit"}


def test_no_private_attribute_of_another_object_is_read():
    allowed = {
        "training/prune.py": {"_trial_id"},  # Optuna has no public way to attach a running trial
        "tables/huggingface.py": {"_fingerprint"},  # datasets has no public one, and data in memory have no files
    }
    for path in (SOURCE / "graft").rglob("*.py"):
        tree = ast.parse(path.read_text())
        own = {node.name for node in ast.walk(tree) if isinstance(node, ast.FunctionDef)}
        attributes = [node for node in ast.walk(tree) if isinstance(node, ast.Attribute)]
        own |= {node.attr for node in attributes if isinstance(node.ctx, ast.Store)}
        own |= allowed.get(str(path.relative_to(SOURCE / "graft")), set())
        names = {node.attr for node in attributes}
        private = {name for name in names - own if name.startswith("_") and not name.startswith("__")}
        assert private <= PUBLIC, f"{path} reads {private}"


def test_only_config_run_audit_sweeps_and_api_read_a_configuration():
    for name in imports(SOURCE):
        if room(name) not in ("config", "run", "audit", "sweeps", "api"):
            path = SOURCE / name.replace(".", "/")
            text = (path / "__init__.py" if path.is_dir() else path.with_suffix(".py")).read_text()
            assert "DictConfig" not in text, name
