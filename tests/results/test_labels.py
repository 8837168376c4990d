import pytest

from graft.results.labels import describe, job_label, label, title


@pytest.mark.parametrize(
    ("setting", "expected"),
    [
        ({"head": "dense512", "dropout": "0"}, "dense512 without dropout"),
        ({"head": "dense512", "dropout": "0.5", "lr": "0.01"}, "dense512 with dropout 0.5, lr 0.01"),
        ({"head": "plain", "lr": "0.01", "dropout": "0"}, "plain with lr 0.01, without dropout"),
        ({"dropout": "0"}, "dropout 0"),
        ({"augment": "none", "head": "plain"}, "augment none, plain"),
        ({"source": "big", "dataset.small_per_class": "1"}, "big with 1 image per class"),
        ({"experiment": "lecture_mnist_scratch"}, "lecture mnist scratch"),
    ],
)
def test_labels_are_words(setting: dict[str, str], expected: str):
    assert label(setting) == expected


@pytest.mark.parametrize(
    ("target", "expected"),
    [
        ("graft.head.Ridge", "ridge, vgg16 with alphas [1]"),
        ("graft.head.Plain", "ridge, vgg16, sgd with alphas [1], epochs 100, label smoothing 0, without dropout"),
    ],
)
def test_a_head_that_is_solved_at_once_has_no_keys_of_training(target: str, expected: str):
    setting = {"head": "ridge", "backbone": "vgg16", "optimizer": "sgd", "head.alphas": "[1]", "epochs": "100"}
    setting |= {"regularize.label_smoothing": "0", "dropout": "0"}
    assert job_label(setting, {"head": {"_target_": target}}) == expected
    assert job_label(setting, {"head": None}) == label(setting)


@pytest.mark.parametrize(
    ("key", "value", "expected"),
    [
        ("head", "dense512", "dense512"),
        ("lr", "0.01", "lr 0.01"),
        ("head.input_dropout", "0.5", "input dropout 0.5"),
        ("dataset.small_total", "1", "1 image"),
        ("dataset.small_per_class", "1 and 10", "1 and 10 images per class"),
    ],
)
def test_a_value_is_described_with_its_key_or_unit_where_it_is_not_clear_alone(key: str, value: str, expected: str):
    assert describe(key, value) == expected


@pytest.mark.parametrize("dropout", ["null", "[0.1,0.5]", "high", ""])
def test_a_dropout_that_is_no_number_is_described_as_it_is(dropout: str):
    assert label({"head": "plain", "dropout": dropout}) == f"plain with dropout {dropout}"


def test_a_configuration_without_its_parts_has_no_title():
    assert title({}) == title({"backbone": "vgg16", "head": {}}) == ""
