import pytest
import torch
from torch import nn

from graft.errors import GraftError
from graft.model.batch_norm import check_batch_norm, freeze_batch_norm_stats, lacks_values


def test_batch_norm_that_trains_is_not_divided_among_cpus():
    network = nn.Sequential(nn.Conv2d(1, 2, 3), nn.BatchNorm2d(2))
    with pytest.raises(GraftError, match="batch norm cannot be synchronized between CPU processes"):
        check_batch_norm(network, torch.device("cpu"), 2)
    check_batch_norm(network, torch.device("cpu"), 1)
    check_batch_norm(network, torch.device("cuda"), 2)
    freeze_batch_norm_stats(network)
    check_batch_norm(network, torch.device("cpu"), 2)


def test_batch_norm_with_an_activation_inside_trains_on_one_gpu_only():
    timm = pytest.importorskip("timm")
    network = nn.Sequential(timm.layers.BatchNormAct2d(2))
    with pytest.raises(GraftError, match="BatchNormAct2d cannot be synchronized between devices"):
        check_batch_norm(network, torch.device("cuda"), 2)
    check_batch_norm(network, torch.device("cuda"), 1)
    check_batch_norm(network.eval(), torch.device("cuda"), 2)


@pytest.mark.parametrize(
    ("network", "shape"),
    [
        (nn.Sequential(nn.Conv2d(1, 2, 3), nn.BatchNorm2d(2)), (1, 3, 3)),
        (nn.Sequential(nn.Conv2d(1, 2, 3), nn.BatchNorm2d(2)), (1, 4, 3)),
        (nn.Sequential(nn.Flatten(), nn.Linear(9, 2), nn.BatchNorm1d(2)), (1, 3, 3)),
        (
            nn.Sequential(nn.Conv2d(1, 2, 3), nn.InstanceNorm2d(2, track_running_stats=True), nn.BatchNorm2d(2)),
            (1, 4, 4),
        ),
        (nn.Conv2d(1, 2, 3), (1, 3, 3)),
    ],
)
@pytest.mark.parametrize("training", [True, False])
def test_a_batch_of_one_image_is_refused_where_pytorch_refuses_it(network: nn.Module, shape: tuple, training: bool):
    network.train(training)
    before = {name: value.clone() for name, value in network.state_dict().items()}
    found = lacks_values(network, shape)
    assert all(torch.equal(value, before[name]) for name, value in network.state_dict().items())
    try:
        network(torch.rand(1, *shape))
    except ValueError:
        assert found
    else:
        assert not found
