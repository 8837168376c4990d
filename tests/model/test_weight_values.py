from collections.abc import Callable

import pytest
import torch
from torch import nn

from graft.errors import GraftError
from graft.model.stages import Weights
from graft.model.weight_values import checked


def weights() -> Weights:
    """Return weights whose values have few digits: half precision holds them, too."""
    network = nn.Sequential(nn.Conv2d(3, 4, 3), nn.BatchNorm2d(4))
    state = {name: (value * 8).round() / 8 for name, value in network.state_dict().items()}
    return state | {"1.num_batches_tracked": torch.tensor(7), "index": torch.arange(5)}


def check(found: Weights, expected: Weights | None = None) -> Weights:
    return checked(found, expected or weights(), "source.path=w.pt", "net")


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16, torch.float32, torch.float64])
def test_floating_point_weights_of_any_precision_become_the_network_s(dtype: torch.dtype):
    given = weights()
    found = check({name: value.to(dtype) for name, value in given.items()}, given)
    for name, value in given.items():
        assert found[name].dtype == value.dtype
        assert torch.equal(found[name], value)


def test_parameters_become_tensors():
    given = weights()
    found = check(given | {"0.weight": nn.Parameter(given["0.weight"])}, given)
    assert not found["0.weight"].requires_grad


def test_batch_norm_s_counter_may_be_missing_or_more_than_expected_as_in_pytorch():
    given = weights()
    counter = given.pop("1.num_batches_tracked")
    assert check(given)["1.num_batches_tracked"] == 7  # the network's own
    expected = weights()
    expected.pop("1.num_batches_tracked")
    assert check(given | {"1.num_batches_tracked": counter}, expected).keys() == expected.keys()
    given.pop("1.running_mean")
    with pytest.raises(GraftError, match=r"does not match the backbone net: 1\.running_mean is missing; try"):
        check(given)


def quantized(value: torch.Tensor) -> torch.Tensor:
    return torch.quantize_per_tensor(value, 0.1, 0, torch.qint8)


def damaged(number: float) -> Callable[[torch.Tensor], torch.Tensor]:
    def damage(value: torch.Tensor) -> torch.Tensor:
        value = value.clone()
        value.view(-1)[3] = number
        return value

    return damage


@pytest.mark.parametrize(
    ("damage", "message"),
    [
        (lambda value: (value * 100).to(torch.int8), "not floating-point numbers: 0.weight is int8; try a file of the"),
        (lambda value: value.to(torch.uint8), "0.weight is uint8"),
        (lambda value: value.to(torch.int64), "0.weight is int64"),
        (lambda value: value.bool(), "0.weight is bool"),
        (lambda value: value.to(torch.complex64), "0.weight is complex64"),
        (lambda value: value.to(torch.float8_e4m3fn), "0.weight is float8_e4m3fn"),
        (quantized, "0.weight is qint8"),
        (lambda value: value.to_sparse(), "0.weight is sparse_coo"),
        (lambda value: value.to("meta"), "0.weight is on the meta device"),
        (
            damaged(float("nan")),
            "not finite: 0.weight contains NaN; try a checkpoint from before its training diverged",
        ),
        (damaged(float("inf")), "0.weight contains infinity"),
        (damaged(float("-inf")), "0.weight contains infinity"),
        (lambda value: damaged(1e300)(value.double()), "0.weight contains infinity"),  # in the network's precision
    ],
)
@pytest.mark.filterwarnings("ignore:.*deprecated")
def test_values_that_are_no_usable_numbers_are_refused_with_the_tensor_s_name(damage: Callable, message: str):
    given = weights()
    with pytest.raises(GraftError) as caught:
        check(given | {"0.weight": damage(given["0.weight"])})
    assert message in str(caught.value)
    assert str(caught.value).startswith("source.path=w.pt has weights that are not f")


def test_infinity_that_belongs_to_the_network_is_loaded():
    mask = {"mask": torch.tensor([0, -torch.inf])}
    assert torch.equal(check(weights() | mask, weights() | mask)["mask"], mask["mask"])


def test_of_many_faults_some_are_named():
    given = weights()
    with pytest.raises(GraftError, match=r"0\.weight is int8; 0\.bias is int8;.* and 2 more; try"):
        check({name: value if name == "index" else value.to(torch.int8) for name, value in given.items()})
