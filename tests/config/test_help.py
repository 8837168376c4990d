"""The help: each key with its value and its comment."""

import re
from collections.abc import Callable

import pytest
from conftest import ROOT
from hydra import compose, initialize_config_dir

from graft.config.help import comments, help_keys


@pytest.fixture
def help_of() -> Callable[..., str]:
    """Return the help's lines about keys, after some overrides."""

    def help_of(*words: str) -> str:
        with initialize_config_dir(str(ROOT / "conf"), version_base="1.3"):
            return help_keys(compose("train", list(words), return_hydra_config=True))

    return help_of


@pytest.mark.parametrize(
    "words", [(), ("head=dense", "tune=thaw", "augment=photos", "+optimizer@tune.optimizer=sgd"), ("sweep=optuna",)]
)
def test_every_key_has_the_line_that_conf_has_for_it(help_of: Callable[..., str], words: tuple[str, ...]):
    lines = help_of(*words).splitlines()
    assert len(lines) > 60
    without = [line for line in lines if not re.search(r"\S {2,}\S", line)]
    assert [line for line in without if "space." not in line] == []  # a range's low and high share one
    assert not [line for line in lines if "#" in line]


def test_the_lines_are_those_of_the_chosen_options(help_of: Callable[..., str]):
    said = help_of("head=dense512", "tune=thaw", "+optimizer@tune.optimizer=sgd", "dropout=0.3")
    assert re.search(r"^dropout=0.3 +rate before the output layer of every head, in \[0, 1\)$", said, re.MULTILINE)
    assert re.search(r"^head=dense512 +\S", said, re.MULTILINE)
    assert "  head.dropout=$${dropout}  " in said  # Hydra makes $ of $$
    assert re.search(r"^ +tune.optimizer.nesterov=false +whether to use Nesterov's momentum$", said, re.MULTILINE)
    assert re.search(r"^ +dataset.small=\[1,3,5,7,9\] +classes to transfer to", said, re.MULTILINE)


def test_comments_are_found_under_their_keys():
    text = "# What it is.\na: 1  # one\nb:    # both\n  c: '#'  # three\n  d: x#y\ne: 2\n"
    assert comments(text, "p") == {"p": "What it is.", "p.a": "one", "p.b": "both", "p.b.c": "three"}
    of_root = comments(f"# @package _global_\n{text}", "p")
    assert of_root == {"p": "What it is.", "a": "one", "b": "both", "b.c": "three"}


def test_hydra_s_own_part_is_not_listed(help_of: Callable[..., str]):
    assert "hydra" not in help_of()
