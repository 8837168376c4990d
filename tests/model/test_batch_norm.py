import pytest
import torch
from torch import nn

from graft.errors import GraftError
from graft.model.batch_norm import check_batch_norm, freeze_batch_norm_stats


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
