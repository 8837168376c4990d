import errno

import pytest
import torch
from torchvision.models import ResNet18_Weights

from graft.backbones.pretrained import TorchvisionWeights, unknown
from graft.data.preprocess import PretrainedInput
from graft.errors import GraftError, UnavailableError


def test_torchvision_s_weights_know_their_input():
    mean, std = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)
    assert TorchvisionWeights(ResNet18_Weights, "DEFAULT").trained_on() == PretrainedInput(224, mean, std)


def test_an_unknown_name_is_refused_with_the_known_ones():
    with pytest.raises(
        GraftError, match=r"source\.weights must be one of IMAGENET1K_V1.*, got V9; try source\.weights="
    ):
        TorchvisionWeights(ResNet18_Weights, "V9")


def test_weights_that_cannot_be_downloaded_are_refused_with_the_way_out(monkeypatch: pytest.MonkeyPatch, tmp_path):
    def fail(*_: object, **__: object) -> None:
        raise OSError("no route to host")

    monkeypatch.setattr(torch.hub, "load_state_dict_from_url", fail)
    monkeypatch.setattr("torchvision.models._api.load_state_dict_from_url", fail)
    with pytest.raises(
        UnavailableError, match=r"cannot be downloaded \(no route to host\); put the file into .*/checkpoints"
    ):
        TorchvisionWeights(ResNet18_Weights, "DEFAULT").state_dict()


def test_a_full_disk_is_no_lack_of_a_network(monkeypatch: pytest.MonkeyPatch):
    def fail(*_: object, **__: object) -> None:
        raise OSError(errno.ENOSPC, "No space left on device", "weights.pth")

    monkeypatch.setattr("torchvision.models._api.load_state_dict_from_url", fail)
    with pytest.raises(OSError, match="No space left"):
        TorchvisionWeights(ResNet18_Weights, "DEFAULT").state_dict()


def test_of_many_names_the_nearest_are_listed():
    message = str(unknown("backbone.model", "resnet81", [f"net{number}" for number in range(20)] + ["resnet18"]))
    assert message.startswith("backbone.model must be one of 21 names, such as resnet18")
    assert message.endswith("got resnet81; try backbone.model=resnet18")
