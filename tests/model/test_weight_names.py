import pytest
import torch

from graft.errors import ConfigError
from graft.model.stages import Weights
from graft.model.weight_names import Wanted, choose, unwrapped

OURS = {"stages.0.conv.weight": torch.zeros(2, 3), "stages.1.block.bn.bias": torch.zeros(2)}
THEIRS = {"conv.weight": "stages.0.conv.weight", "block.bn.bias": "stages.1.block.bn.bias"}
WANTED = Wanted("net", OURS, [{name: name for name in OURS}, THEIRS], head=("fc.",))


def network(seed: float, prefix: str = "") -> Weights:
    """Return weights of the network that all have this value."""
    return {f"{prefix}{name}": torch.full(OURS[own].shape, seed) for name, own in THEIRS.items()}


def seeds(weights: Weights) -> set[float]:
    return {value.unique().item() for value in weights.values()}


@pytest.mark.parametrize("prefix", ["", "model.", "module.", "state_dict.net.backbone.", "ema.module.", "0."])
def test_names_are_found_behind_any_prefix(prefix: str):
    other = {f"{prefix}fc.weight": torch.ones(3), "optimizer_x.conv.weight": torch.ones(1), "n_averaged": torch.ones(1)}
    found = choose(network(2, prefix) | other, WANTED)
    beside = {"optimizer_x.conv.weight", "n_averaged"} if not prefix else set()
    assert found.keys() == OURS.keys() | beside
    assert seeds({name: found[name] for name in OURS}) == {2}
    ours = {f"{prefix}{name}": value for name, value in OURS.items()}
    assert choose(ours, WANTED).keys() == OURS.keys()


def both(first: str, second: str) -> Weights:
    return network(1, first) | network(2, second)


@pytest.mark.parametrize(
    ("first", "second", "named"),
    [
        ("student.", "teacher.", "student or teacher"),
        ("state_dict.student.", "state_dict.teacher.", "student or teacher"),
        ("online.net.", "target.net.", "online.net or target.net"),
        ("module.encoder_q.", "module.encoder_k.", "encoder_q or encoder_k"),
        ("state_dict.", "state_dict_ema.", "state_dict or state_dict_ema"),
        ("model.", "model_ema.module.", "model or model_ema.module"),
        ("", "ema.", "'' or ema"),
        ("state_dict.net.", "state_dict.net.ema.", "state_dict.net or ema"),
        ("_orig_mod.", "", "_orig_mod or ''"),
    ],
)
def test_of_two_networks_one_has_to_be_named(first: str, second: str, named: str):
    weights = unwrapped(both(first, second))
    with pytest.raises(ConfigError) as caught:
        choose(weights, WANTED)
    (fault,) = caught.value.faults
    assert fault.key == "source.prefix"
    assert fault.expected.startswith(f"{named}, as the file holds more than one network that fits net")
    for number, name in enumerate(named.split(" or "), start=1):
        for typed in (name, f"{name}."):
            chosen = choose(weights, WANTED, "" if name == "''" else typed)
            assert chosen.keys() == OURS.keys()
            assert seeds(chosen) == {number}
    assert seeds(choose(weights, WANTED, second)) == {2}


def test_a_prefix_that_names_both_or_none_is_refused():
    weights = both("state_dict.student.", "state_dict.teacher.")
    with pytest.raises(ConfigError, match=r"must be student or teacher, .* got state_dict; try source\.prefix=student"):
        choose(weights, WANTED, "state_dict")
    with pytest.raises(ConfigError, match=r"must be student or teacher, where names .* of net start, got teach; try"):
        choose(weights, WANTED, "teach")
    with pytest.raises(ConfigError, match=r"must be model, where .*, got teacher; try source\.prefix=model"):
        choose(network(1, "model."), WANTED, "teacher")
    assert seeds(choose(network(1, "model."), WANTED, "model")) == {1}


def test_only_what_fits_the_network_is_a_choice():
    deeper = {"teacher.block.conv.weight": torch.ones(1)}
    assert seeds(choose(both("student.", "teacher.") | deeper, WANTED)) == {1}
    wider = {"teacher.conv.weight": torch.ones(4, 3), "teacher.block.bn.bias": torch.ones(4)}
    assert seeds(choose(network(1, "student.") | wider, WANTED)) == {1}
    incomplete = {"teacher.conv.weight": torch.ones(2, 3)}
    assert seeds(choose(incomplete | network(5, "student."), WANTED)) == {5}
    projector = {f"{side}.projector.weight": torch.ones(1) for side in ("student", "teacher")}
    with pytest.raises(ConfigError, match="student or teacher"):
        choose(both("student.", "teacher.") | projector, WANTED)


def test_one_network_under_two_names_is_no_choice():
    assert seeds(choose(network(3, "model.net.") | network(3, "ema."), WANTED)) == {3}


def test_names_that_are_missing_or_none_of_the_network_s_stay_as_they_are():
    assert choose({"a.b": torch.ones(1)}, WANTED).keys() == {"a.b"}
    weights = network(1, "model.")
    weights.pop("model.block.bn.bias")
    assert choose(weights | {"model.extra": torch.ones(1)}, WANTED).keys() == {"stages.0.conv.weight", "extra"}


@pytest.mark.parametrize(
    "name",
    [
        "_orig_mod.layer.0.weight",
        "layer._orig_mod.0.weight",
        "_fsdp_wrapped_module.layer._fsdp_wrapped_module.0.weight",
        "layer.0._checkpoint_wrapped_module.weight",
    ],
)
def test_wrappers_leave_no_trace(name: str):
    assert unwrapped({name: torch.ones(1)}).keys() == {"layer.0.weight"}


def test_names_that_would_become_one_stay_apart():
    assert len(unwrapped({"_orig_mod.a": torch.ones(1), "a": torch.zeros(1)})) == 2
