import functools
import re
import sys
import types
from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from omegaconf import DictConfig

from graft.config.build import build
from graft.config.target import find_target
from graft.errors import ConfigError
from graft.heads.head import Dense
from graft.run.make_plan import make_plan

Configure = Callable[..., DictConfig]


@pytest.fixture
def package(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Make a user's package, with modules that cannot be imported."""
    folder = tmp_path / "mypkg"
    folder.mkdir()
    (folder / "__init__.py").write_text("")
    (folder / "net.py").write_text(
        "from torch import nn\nDEPTH = 3\nclass Net(nn.Module):\n    pass\n"
        "def make_net(preprocess, **_):\n    return Net()\n"
    )
    (folder / "missing.py").write_text("import torch\nimport nosuch_package\n")
    (folder / "wrong.py").write_text("\nfrom torch import nosuch_name\n")
    (folder / "broken.py").write_text("x = 1\ndef f(:\n")
    (folder / "failing.py").write_text("def f():\n    raise RuntimeError('no GPU\\nhere')\nf()\n")
    (folder / "library.py").write_text("import torch\ntorch.load('/nowhere.pt')\n")
    (folder / "attribute.py").write_text("import torch\ntorch.nosuch\n")
    for name in [name for name in sys.modules if name.startswith("mypkg")]:  # an earlier test's
        monkeypatch.delitem(sys.modules, name)
    monkeypatch.syspath_prepend(tmp_path)
    return folder


def test_public_and_library_and_own_names_are_found(package: Path):
    assert find_target("head._target_", "graft.head.Dense") is Dense
    assert find_target("optimizer._target_", "torch.optim.Adam") is torch.optim.Adam
    assert find_target("head._target_", "mypkg.net.Net").__name__ == "Net"
    assert find_target("x._target_", "functools.partial.__call__")
    assert find_target("x._target_", "functools.partial") is functools.partial


@pytest.mark.parametrize(
    ("path", "reason", "example"),
    [
        (
            "nosuchpkg.nosuch",
            "Python finds no module nosuchpkg",
            "PYTHONPATH=DIR python ..., where DIR contains nosuchp",
        ),
        ("mypkg.nosuch", "there is no nosuch in mypkg", "another name in mypkg"),
        ("mypkg.nosuch.Net", "there is no nosuch in mypkg", "another name in mypkg"),
        ("mypkg.net.Nett", "there is no Nett in mypkg.net", "head._target_=mypkg.net.Net"),
        ("mypkg.nett.Net", "there is no nett in mypkg", "head._target_=mypkg.net.Net"),
        ("mypkg.net.Net.nosuch", "there is no nosuch in mypkg.net.Net", "another name in mypkg.net.Net"),
        ("grft.head.Dense", "Python finds no module grft", "head._target_=graft.head.Dense"),
        ("graft.hed.Dense", "there is no hed in graft", "head._target_=graft.head.Dense"),
        ("graft.head.dense", "there is no dense in graft.head", "head._target_=graft.head.Dense"),
        ("torch.optim.Adamm", "there is no Adamm in torch.optim", "head._target_=torch.optim.Adam"),
        (
            "mypkg.missing.Net",
            "ModuleNotFoundError: No module named 'nosuch_package' in {}/missing.py, line 2",
            "python -c",
        ),
        ("mypkg.wrong.Net", "importing mypkg.wrong raises ImportError: cannot import name 'nosuch_name'", "python -c"),
        ("mypkg.broken.Net", "SyntaxError: invalid syntax in {}/broken.py, line 2", "python -c 'import mypkg.broken'"),
        ("mypkg.failing.Net", "RuntimeError: no GPU in {}/failing.py, line 2", "python -c 'import mypkg.failing'"),
        ("mypkg.library.Net", "No such file or directory: '/nowhere.pt' in {}/library.py, line 2", "python -c"),
        ("mypkg.attribute.Net", "has no attribute 'nosuch' in {}/attribute.py, line 2", "python -c 'import mypkg.attr"),
        ("mypkg.net", "it is a module", "head._target_=mypkg.net.NAME"),
        ("mypkg.net.DEPTH", "it is a int", "head._target_="),
        ("Dense", "it has no module", "head._target_=mypkg.mymodule.NAME"),
        ("", "it has no module", "head._target_=mypkg"),
        (".net.Net", "it has no module", "head._target_=mypkg"),
        ("mypkg..Net", "it has no module", "head._target_=mypkg"),
        (None, "it has no module", "head._target_=mypkg"),
        (5, "it has no module", "head._target_=mypkg"),
    ],
)
def test_a_target_that_cannot_be_used_is_one_line_with_the_reason(
    package: Path, path: object, reason: str, example: str
):
    with pytest.raises(ConfigError) as caught:
        find_target("head._target_", path)
    message = str(caught.value)
    assert "\n" not in message
    assert message.startswith("head._target_ must be the full name of a class or function (")
    assert reason.format(package) in message
    assert f", got {'null' if path is None else path or 'nothing'}; try {example}" in message


@pytest.mark.parametrize(
    ("group", "override", "key"),
    [
        ("head", "head._target_=mypkg.nosuch", "head._target_"),
        ("optimizer", "optimizer._target_=torch.optim.Nosuch", "optimizer._target_"),
        ("source", "source.head._target_=graft.head.Nosuch", "source.head._target_"),
        ("source", "source.optimizer._target_=nosuchpkg.Adam", "source.optimizer._target_"),
        ("tune", "+tune.optimizer._target_=torch.optim.Nosuch", "tune.optimizer._target_"),
        ("schedule", "schedule._target_=graft.schedule", "schedule._target_"),
        ("trainer", "trainer._target_=pytorch_lightning.Trainr", "trainer._target_"),
    ],
)
def test_each_group_s_targets_are_checked(configure: Configure, package: Path, group: str, override: str, key: str):
    with pytest.raises(ConfigError, match=f"^{re.escape(key)} must be the full name of a class or function"):
        build(configure(override), group)


@pytest.mark.parametrize("path", ["mypkg.net.Net", "mypkg.net.make_net", "graft.head.Dense", "torch.nn.Identity"])
def test_a_backbone_that_is_no_list_of_stages_is_refused_in_one_line(configure: Configure, package: Path, path: str):
    expected = (
        r"backbone\._target_ must be a subclass of graft\.backbones\.staged\.Backbone that .*stages, "
        r"super\(\)\.__init__\(preprocess, \[stage1, stage2\], keep\) .*architecture\.md.*, "
        rf"got {path}; try backbone=torchvision"
    )
    with pytest.raises(ConfigError, match=expected):
        make_plan(configure(f"backbone._target_={path}", "source=scratch"))


def test_a_plain_module_becomes_a_backbone_as_that_line_says(configure: Configure, package: Path):
    (package / "staged.py").write_text(
        "from torch import nn\nfrom graft.backbones.backbone import Backbone\nclass Net(Backbone):\n"
        "    def __init__(self, preprocess, keep=None):\n"
        "        stage1, stage2 = nn.Conv2d(1, 2, 3), nn.Conv2d(2, 4, 3)\n"
        "        super().__init__(preprocess, [stage1, stage2], keep)\n"
    )
    words = ("backbone._target_=mypkg.staged.Net", "~backbone.activation", "source=scratch", "backbone.keep=1")
    assert make_plan(configure(*words)).backbone().num_features() == 2 * 26 * 26


def test_a_class_of_a_notebook_is_refused_as_its_changes_cannot_be_seen(monkeypatch: pytest.MonkeyPatch):
    cell = types.ModuleType("__main__")
    cell.Head = type("Head", (), {})  # type: ignore[attr-defined]
    monkeypatch.setitem(sys.modules, "__main__", cell)
    with pytest.raises(ConfigError, match=r"it is in a notebook .*head\._target_=mymodule\.Head, of a file"):
        find_target("head._target_", "__main__.Head")
    cell.__file__ = "program.py"
    assert find_target("head._target_", "__main__.Head") is cell.Head  # type: ignore[attr-defined]
