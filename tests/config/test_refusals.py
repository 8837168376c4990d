"""What Hydra cannot compose, in Graft's words. The command line itself is tested in end_to_end/."""

from collections.abc import Callable
from pathlib import Path

import pytest
from conftest import ROOT
from hydra import compose, initialize_config_dir
from omegaconf import DictConfig

from graft.config.refusals import explain, no_such_key

Configure = Callable[..., DictConfig]


@pytest.mark.parametrize(
    ("words", "reason"),
    [
        (["trails=3"], "no key trails; did you mean trials?"),
        (["colour=blue"], "no key colour; --help lists the keys"),
        (["report.basline=x"], "no key report.basline; did you mean report.baseline?"),
        (["head.widths=512"], "no key head.widths; head, as it is chosen here, has dropout"),
        (["head=dense", "head.width=512"], "no key head.width; did you mean head.widths?"),
        (
            ["trainer.val_check_interval=0.5"],
            "no key trainer.val_check_interval in conf/trainer/, and + adds Lightning's flags; "
            "try +trainer.val_check_interval=0.5",
        ),
        (["trainer.max_epochs=3"], "trainer.max_epochs must be left out: use epochs=, got 3; try epochs=10"),
        (["trainer.presicion=32-true"], "no key trainer.presicion; did you mean trainer.precision?"),
        (["größe=3"], "no key größe; --help lists the keys"),
        (["~trails"], "no key trails, which ~ would remove; --help lists the keys"),
        (
            ["head=dens"],
            "no option dens for head; did you mean dense? there are dense, dense512, kernel_ridge, knn, lda, logistic, "
            "nearest_mean, plain, ridge, solved, svm",
        ),
        (["schedule=xyz"], "no option xyz for schedule; there are constant, cosine, one_cycle, step"),
        (["dropout=abc"], "dropout must be in [0, 1), got abc; try dropout=0.5"),
        (["dropout="], "dropout must be in [0, 1), got nothing; try dropout=0.5"),
        (["dropout=[0,0.5]"], "dropout must be in [0, 1), got [0, 0.5]; try dropout=0.5"),
        (["stop=2"], "stop has keys of its own, patience, min_delta; try stop.patience=VALUE"),
        (["report=loss"], "report has keys of its own, baseline, margin, metric, thumbnails, figures, explain; try"),
        (["epochs=1.5"], "epochs must be a whole number of at least 1, got 1.5; try epochs=100"),
        (["+dropout=0.5"], "dropout exists, and + adds a new key; try dropout= without +"),
        (["+head=dense"], "head has an option, and + adds another one; try head= without +"),
        (["dropout"], "dropout has no value; try dropout=VALUE, and --help for the keys"),
        (
            ["dropout=0,0.5"],
            "dropout=0,0.5 lists several values, one for each job of a sweep; try -m dropout=0,0.5, or",
        ),
        (["dropout=0,"], "dropout=0, lists nothing after its last comma; try dropout=0, or no blank after it"),
        (["dataset.small=[1,3"], "dataset.small=[1,3 has unbalanced []; try quotes around all of it"),
        (["seed=range(1,2"], "seed=range(1,2 has unbalanced ()"),
        (["name=a:'b'c"], "name=a:'b'c is no KEY=VALUE in Hydra's grammar; try"),
        (["head=null"], "Config group override must be a string or a list. Got NoneType"),
    ],
)
def test_every_refusal_is_one_line_in_graft_s_words(configure: Configure, words: list[str], reason: str):
    with pytest.raises(Exception) as error:  # noqa: PT011
        configure(*words)
    said = explain(error.value)  # type: ignore[arg-type]
    assert said is not None
    assert said.startswith(reason)
    assert "\n" not in said
    assert "append" not in said


@pytest.mark.parametrize("word", ["dropout=${foo}", "lr=${lr}", "name='${a.b}'"])
def test_a_reference_that_leads_nowhere_names_its_key(configure: Configure, word: str):
    key = word.partition("=")[0]
    with pytest.raises(Exception) as error:  # noqa: PT011
        _ = configure(word)[key]
    assert str(explain(error.value)).startswith(f"{key} refers to a key that has no value (")  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("trials: 2\n\tepochs: 3\n", "a YAML file cannot be read: "),
        ("head: [plain\n", "a YAML file cannot be read: "),
        ("# @package _global_\ntrails: 2\n", "in conf/experiment/mine.yaml: no key trails; did you mean trials?"),
        ("# @package _global_\ndropout: much\n", "in conf/experiment/mine.yaml: dropout must be in [0, 1), got much"),
        ("# @package _global_\ndefaults:\n  - override /head: dens\n", "no option dens for head; did you mean dense?"),
    ],
)
def test_a_user_s_own_yaml_file_is_named(tmp_path: Path, text: str, reason: str):
    (tmp_path / "experiment").mkdir()
    (tmp_path / "experiment/mine.yaml").write_text(text)
    with pytest.raises(Exception) as error, initialize_config_dir(str(ROOT / "conf"), version_base="1.3"):  # noqa: PT011
        compose("train", [f"hydra.searchpath=[{tmp_path}]", "experiment=mine"])
    said = str(explain(error.value))  # type: ignore[arg-type]
    assert said.startswith(reason)
    assert "experiment/mine.yaml" in said or "head" in said


def test_errors_of_others_have_no_explanation():
    for error in (ValueError("x"), KeyError("x"), OSError("x")):
        with pytest.raises(type(error)) as raised:
            raise error
        assert explain(raised.value) is None


def test_a_key_s_neighbors_are_listed_if_none_is_near():
    assert no_such_key("head.x", ["widths", "a"]) == "no key head.x; head, as it is chosen here, has a, widths"
    assert no_such_key("source.epochs", []) == "no key source.epochs; source, as it is chosen here, has no keys"
    assert no_such_key("x", ["trials"]) == "no key x; --help lists the keys"
