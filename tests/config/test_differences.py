import pytest

from graft.config.differences import differences

ADAM = {"_target_": "torch.optim.Adam", "_partial_": True, "lr": 0.001}


def test_values_that_both_have_are_compared():
    assert differences({"a": 1, "b": {"c": 2, "d": 3}}, {"a": 1, "b": {"c": 2, "d": 4}}) == ["b.d"]
    assert differences({"a": 1}, {"a": 1}) == []


@pytest.mark.parametrize(
    ("key", "value", "differ"),
    [
        ("amsgrad", False, False),  # PyTorch's default
        ("amsgrad", True, True),
        ("betas", [0.9, 0.999], False),
        ("betas", [0.8, 0.999], True),
        ("fused", True, True),
        ("fused", None, False),
        ("eps", 1e-8, False),
    ],
)
def test_a_missing_key_has_its_target_s_default(key: str, value: object, differ: bool):
    more = {"optimizer": {**ADAM, key: value}}
    expected = [f"optimizer.{key}"] if differ else []
    assert differences(more, {"optimizer": ADAM}) == differences({"optimizer": ADAM}, more) == expected


def test_a_key_that_came_later_into_an_option_is_no_difference_unless_it_was_typed():
    old = {"dataset": {"_target_": "graft.dataset.MNIST5k"}}
    new = {"dataset": {"_target_": "graft.dataset.MNIST5k", "later": 1}, "regularize": {"ema": 0.0}, "width": 5}
    assert differences(old, new) == []
    assert differences(old, new, ["dataset.later", "regularize.ema", "width"]) == [
        "dataset.later", "regularize.ema", "width",
    ]  # fmt: skip
    assert differences(new, old) == ["dataset.later", "regularize.ema", "width"]


def test_a_target_that_cannot_be_imported_has_no_defaults():
    gone = {"head": {"_target_": "nowhere.Head"}}
    assert differences({"head": {**gone["head"], "size": 3}}, gone) == ["head.size"]
