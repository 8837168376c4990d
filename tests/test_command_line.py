"""What was typed is read as it is, in Hydra's grammar or not; what would mean something else is refused."""

import importlib
from argparse import Action, ArgumentParser
from typing import Any

import pytest
from hydra.core.override_parser.overrides_parser import OverridesParser
from hydra.core.override_parser.types import ChoiceSweep, QuotedString
from hypothesis import given
from hypothesis import strategies as st

from graft.command_line import check_words, let_hydra_parse, readable
from graft.errors import GraftError

GROUPS = ["head", "experiment"]


def values(word: str) -> list:
    """Return the values that Hydra reads in a word, one or those of a sweep."""
    (override,) = OverridesParser.create().parse_overrides(readable([word]))
    value = override.value()
    return list(override.sweep_iterator()) if isinstance(value, ChoiceSweep) else [value]


@pytest.mark.parametrize(
    ("word", "read"),
    [
        ("dataset.root=~/photos", ["/home/me/photos"]),
        ("source.path=~/w.pt", ["/home/me/w.pt"]),
        ("cache=~", ["/home/me"]),
        ("cache='~/c'", ["~/c"]),
        ("cache=~nobody-here/c", ["~nobody-here/c"]),
        ("dataset.root=/data/a~b", ["/data/a~b"]),
        ("dataset.root=Küche", ["Küche"]),
        ("dataset.root=写真/猫", ["写真/猫"]),
        ("dataset.small=[Äpfel,Birnen]", [["Äpfel", "Birnen"]]),
        ("report.figures=svg,pdf", [["svg", "pdf"]]),
        ("report.figures=svg", ["svg"]),
        ("report.figures=[svg,pdf]", [["svg", "pdf"]]),
        ("dataset.small=[1,3,null,true]", [[1, 3, None, True]]),
        ("source.path=outputs/dropout=0.5/weights.safetensors", ["outputs/dropout=0.5/weights.safetensors"]),
        ("dataset.root=/data/Anna's photos (1)", ["/data/Anna's photos (1)"]),
        ("dataset.root=Anna's & (2)", ["Anna's & (2)"]),
        ("dataset.root=/data/R&D #2; new!", ["/data/R&D #2; new!"]),
        ("dataset.root=../a b/c", ["../a b/c"]),
        ("source.path=/a/x\\,y=1.pt", ["/a/x,y=1.pt"]),
        ("dropout=0.5", [0.5]),
        ("name='x=y'", ["x=y"]),
        ('name="ü,ö"', ["ü,ö"]),
        ("lr=${lr}", ["${lr}"]),
        ("dropout=", [""]),
    ],
)
def test_a_value_is_read_as_it_was_typed(monkeypatch: pytest.MonkeyPatch, word: str, read: list):
    monkeypatch.setenv("HOME", "/home/me")
    assert values(word) == read


@pytest.mark.parametrize("word", ["dataset.root=~/a,Küche,/c=1", "+dataset.root=~/a, Küche, '/c=1'"])
def test_so_are_the_values_of_a_sweep(monkeypatch: pytest.MonkeyPatch, word: str):
    monkeypatch.setenv("HOME", "/home/me")
    (override,) = OverridesParser.create().parse_overrides(readable([word]))
    texts = [value if isinstance(value, str) else value.text for value in override.sweep_iterator()]  # type: ignore[union-attr]
    assert texts == ["/home/me/a", "Küche", "/c=1"]


@pytest.mark.parametrize(
    "word",
    [
        "dropout=0,0.5", "head=glob(*,exclude=[ridge,log*])", "lr=tag(log,interval(1e-4,1e-1))",
        "seed=range(0,9,step=3)",
        "seed=sort(3,1,reverse=true)", "head.widths=[512],[64,64],null", "reference={low: 0.3, high: 1, source: x}",
        "~dropout", "~dropout=3", "--config-dir=a~b", "-m", "head", "name=a\\,b", "dataset.small=[1,3", "x='a",
        "seed=range(1,2",
    ],
)  # fmt: skip
def test_what_hydra_reads_itself_stays_as_it_is(word: str):
    assert readable([word]) == [word]


@given(st.text(st.characters(exclude_characters=",[]{}\\$", exclude_categories=["Cs", "Cc", "Z"]), min_size=1))
def test_every_path_is_read_as_it_was_typed(name: str):
    assert values(f"dataset.root=/data/{name}") == [f"/data/{name}"]
    assert values(f"dataset.root=./{name}/x") == [f"./{name}/x"]


def test_the_flag_of_a_sweep_may_stand_anywhere():
    assert readable(["dropout=0,1", "-m", "trials=2"]) == ["-m", "dropout=0,1", "trials=2"]


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["=3"], "=3 has no key; try KEY=VALUE without blanks around =, and --help for the keys"),
        (["epochs", "=", "5"], "= has no key; try KEY=VALUE without blanks around =, and --help for the keys"),
        (["--epochs=5"], "--epochs is no option; keys have no dashes: try epochs=5"),
        (["-head.dropout", "0.5"], "-head.dropout is no option; keys have no dashes: try head.dropout=VALUE"),
        (["dropout=0", "trials=2", "dropout=0.5"], "dropout is typed twice, as 0 and 0.5; try one of them"),
        (["dropout=0,1", "+dropout=0.5"], "dropout is typed twice, as 0,1 and 0.5"),
        (["head=plain", "head=dense"], "head is typed twice, as plain and dense"),
        (["head=[plain,dense]"], "head must be one option, got [plain,dense]; try -m head=plain,dense for a sweep"),
        (["head=null"], "head must be the name of an option, got null; --help lists them"),
        (["head=3"], "head must be the name of an option, got 3"),
        (["head="], "head must be the name of an option, got nothing"),
        (["name=a\udcff"], "'name=a\\udcff' cannot be read in this locale; try LC_ALL=C.UTF-8, or another name"),
    ],
)
def test_what_would_mean_something_else_is_refused(words: list[str], message: str):
    with pytest.raises(GraftError) as error:
        check_words(words, GROUPS)
    assert message in str(error.value)


def test_other_words_are_accepted():
    fine = [
        "-m",
        "head=plain,dense",
        "trials=2",
        "trials=2",
        "head.widths=[3]",
        "optimizer@tune.optimizer=sgd",
        "~head",
    ]
    fine += ["-h", "-c=job", "-cd", "conf", "--multi", "--config-n=train", "--help"]
    check_words([*fine, "--config-dir", "x", "experiment=glob(lecture*)", "dataset.small=[1,3]", "seed=null"], GROUPS)


@pytest.mark.parametrize(
    "pattern", [r"(?P<group>patient\d+)", "(a,b)", "p{2}", "(it's|x)", r"\d/(\w+)_", "null", "'(x)'"]
)
def test_a_pattern_is_read_as_it_is_typed(pattern: str):
    (word,) = readable([f"dataset.group_pattern={pattern}"])
    (parsed,) = OverridesParser.create().parse_overrides([word])
    expected = {"null": None, "'(x)'": "(x)"}.get(pattern, pattern)
    found = parsed.value()
    assert (found.text if isinstance(found, QuotedString) else found) == expected


def test_hydra_parses_where_argparse_checks_help_texts(monkeypatch: pytest.MonkeyPatch):
    def check_as_python_3_14(parser: ArgumentParser, action: Action) -> None:
        if action.help and not isinstance(action.help, str):
            raise ValueError("badly formed help string")

    add = ArgumentParser.add_argument

    def add_argument(parser: ArgumentParser, *names: str, **settings: Any) -> Action:
        action = add(parser, *names, **settings)
        parser._check_help(action)  # type: ignore[attr-defined]
        return action

    monkeypatch.setattr(ArgumentParser, "_check_help", check_as_python_3_14, raising=False)
    monkeypatch.setattr(ArgumentParser, "add_argument", add_argument)
    hydra_main = importlib.import_module("hydra.main")
    with pytest.raises(ValueError, match="badly formed"):
        hydra_main.get_args_parser()
    let_hydra_parse()
    assert hydra_main.get_args_parser().parse_args(["-m", "lr=1"]).multirun
