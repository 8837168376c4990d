import pytest
import torch

from graft.backbone import CNN
from graft.errors import GraftError

DIGITS = torch.randint(0, 256, (3, 1, 28, 28), dtype=torch.uint8)


def test_the_lecture_s_cnn():
    backbone = CNN(1)
    assert backbone(DIGITS).shape == (3, 1600)
    assert sum(parameter.numel() for parameter in backbone.parameters()) == 18_816


@pytest.mark.parametrize(("keep", "features"), [(0, 784), (1, 5408), (2, 1600), (None, 1600)])
def test_keep_discards_the_last_stages(keep: int | None, features: int):
    assert CNN(1, keep=keep)(DIGITS).shape == (3, features)


def test_keeping_more_than_there_is_is_refused():
    with pytest.raises(GraftError, match=r"backbone\.keep must be from 0 to 2, the stages of CNN, got 3"):
        CNN(1, keep=3)


@pytest.mark.parametrize(("keep", "frozen"), [(0, 0), (1, 0), (1, 1), (2, 0), (2, 1), (2, 2)])
def test_the_two_parts_of_any_cut_make_the_whole(keep: int, frozen: int):
    backbone = CNN(1, "tanh", keep)
    front, rest = backbone.split(frozen)
    torch.testing.assert_close(rest(front(DIGITS)), backbone(DIGITS))
    assert (list(rest) == []) == (keep == frozen)
    assert keep != frozen or front(DIGITS).dim() == 2  # with all frozen, what is stored is pooled already


def test_pixels_become_0_to_1():
    assert torch.equal(CNN(1).preprocess(torch.tensor([0, 255], dtype=torch.uint8)), torch.tensor([0.0, 1.0]))
