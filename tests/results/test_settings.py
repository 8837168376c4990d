import pytest

from graft.results.labels import label
from graft.results.settings import complete_choices, folder_overrides, known_choices, swept_settings

KEYS = ("dataset", "head", "dropout", "source", "backbone", "small")


def config(head: str = "Plain", dropout: float = 0.5, lr: float = 0.001, **more: object) -> dict:
    inner: dict[str, object] = {"_target_": f"graft.head.{head}", "dropout": dropout}
    inner |= {"widths": [512], "input_dropout": 0.0} if head == "Dense" else {}
    optimizer = {"_target_": "torch.optim.Adam", "_partial_": True, "lr": lr}
    return {"head": {**inner, **more}, "optimizer": optimizer, "dropout": dropout, "lr": lr, "name": f"{lr}"}


@pytest.mark.parametrize(
    ("folder", "expected"),
    [
        ("experiment=lecture_mnist_vgg16_plain", {"experiment": "lecture_mnist_vgg16_plain"}),
        ("head=dense512_dropout=0.5", {"head": "dense512", "dropout": "0.5"}),
        ("dataset=image_folder_dataset.small_per_class=5", {"dataset": "image_folder", "dataset.small_per_class": "5"}),
        ("source=big_+head.depth=3", {"source": "big", "head.depth": "3"}),
        ("dataset.small=[cat,dog]", {"dataset.small": "[cat,dog]"}),
        ("old job", {}),
    ],
)
def test_a_folder_s_name_tells_what_was_overridden(folder: str, expected: dict[str, str]):
    assert folder_overrides(folder, KEYS) == expected


def test_a_group_whose_choice_differs_is_one_key_and_a_knob_s_copies_are_none():
    jobs = [
        (config(head, dropout, lr), {"head": choice, "optimizer": "adam"})
        for head, choice in (("Plain", "plain"), ("Dense", "dense512"))
        for dropout, lr in ((0.0, 0.001), (0.5, 0.01))
    ]
    assert swept_settings(jobs) == [
        {"head": "plain", "dropout": "0", "lr": "0.001"},
        {"head": "plain", "dropout": "0.5", "lr": "0.01"},
        {"head": "dense512", "dropout": "0", "lr": "0.001"},
        {"head": "dense512", "dropout": "0.5", "lr": "0.01"},
    ]


def test_inner_keys_count_where_the_choice_is_the_same():
    jobs = [
        (config(), {"head": "plain"}),
        (config("Dense"), {"head": "dense512"}),
        (config("Dense", input_dropout=0.5), {"head": "dense512"}),
    ]
    assert swept_settings(jobs) == [
        {"head": "plain"},
        {"head": "dense512", "head.input_dropout": "0"},
        {"head": "dense512", "head.input_dropout": "0.5"},
    ]


def test_how_jobs_were_chosen_logged_and_kept_is_no_setting():
    jobs = [
        (
            {"lr": rate, "sweep": {"jobs": number}, "logger": {"csv": {"name": number}}, "resume": number > 2, **kept},
            {"sweep": how},
        )
        for rate, number, how, kept in (
            (0.1, 2, "random", {"keep_weights": "none"}),
            (0.2, 3, "optuna", {"keep_weights": "best"}),
        )
    ]
    assert swept_settings(jobs) == [{"lr": "0.1"}, {"lr": "0.2"}]


def test_a_control_differs_from_backbones_in_no_key_of_theirs():
    configs = [
        ({"head": {"lr": 1}, "backbone": {"keep": 1}, "dataset": {"size": size}}, {"backbone": name, "head": "plain"})
        for name in ("cnn", "vgg16")
        for size in (8, 9)
    ]
    control = {"baseline": "control", "backbone": {}, "dataset": {"size": 8}}
    settings = swept_settings([*configs, (control, {"backbone": "thumbnail", "source": "scratch", "head": "solved"})])
    assert settings[0] == {"backbone": "cnn", "dataset.size": "8"}
    assert settings[-1] == {"control": "thumbnail", "dataset.size": "8"}
    assert label(settings[-1]) == "thumbnail (control) with size 8"


def test_an_experiment_stands_for_all_that_it_brings():
    jobs = [
        (config(head, dropout, lr), {"experiment": name, "head": head.lower()})
        for name, head, dropout in (("one", "Plain", 0.0), ("two", "Dense", 0.5))
        for lr in (0.1, 0.2)
    ]
    assert [label(setting) for setting in swept_settings(jobs)] == [
        "one with lr 0.1", "one with lr 0.2", "two with lr 0.1", "two with lr 0.2",
    ]  # fmt: skip


def test_keys_that_older_versions_lacked_and_those_that_change_nothing_are_no_difference():
    newer = {**config(), "warmup": 3, "cache": "elsewhere", "report": {"baseline": "head:plain"}}
    assert swept_settings([(config(), {}), (newer, {})]) == [{}, {}]


def test_choices_of_the_first_format_come_from_names_from_equal_jobs_and_from_classes():
    known = [
        known_choices({"config": config("Dense")}, "head=dense512_dropout=0"),
        known_choices({"config": config()}, "default"),
        known_choices({"config": config("Dense"), "choices": {"head": "dense", "optimizer": "adam_keras"}}, "x"),
    ]
    completed = complete_choices([(config("Dense"), known[0]), (config(), known[1]), (config("Dense"), known[2])])
    assert [own["head"] for own in completed] == ["dense512", "plain", "dense"]
    assert [own["optimizer"] for own in completed] == ["adam_keras"] * 3
