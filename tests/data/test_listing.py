import hashlib

import pytest
import torch

from graft.data.images import InMemoryImages
from graft.data.listing import names, warn_of_equal


def test_names_of_a_data_set_with_test_images_of_its_own_count_from_each_part():
    test = torch.tensor([False, False, True, False, True])
    pixels = torch.arange(5).byte().view(5, 1, 1, 1)
    images = InMemoryImages(torch.zeros(5), test, torch.zeros_like(test), ("a",), pixels)
    assert names(images, [0, 3, 2, 4]) == ["train/0", "train/2", "test/0", "test/1"]
    assert images.digests == [hashlib.sha256(bytes([each])).hexdigest()[:32] for each in range(5)]


@pytest.mark.parametrize(
    ("groups", "said"),
    [
        ((), "2 images are equal to an earlier one, 1 of them to one of another class, .* (train/2 = train/0, test/1"),
        (("a", "b", "a", "c", "b"), ""),
        (("a", "b", "c", "d", "b"), "1 images are equal to an earlier one, 1 of them .* (train/2 = train/0): where"),
    ],
)
def test_equal_images_in_memory_are_told_unless_a_group_keeps_them_together(
    groups: tuple[str, ...], said: str, caplog: pytest.LogCaptureFixture
):
    test = torch.tensor([False, False, False, True, True])
    pixels = torch.tensor([7, 8, 7, 9, 8]).byte().view(5, 1, 1, 1)
    labels = torch.tensor([0, 0, 1, 0, 0])
    warn_of_equal(InMemoryImages(labels, test, torch.zeros_like(test), ("a", "b"), pixels, groups=groups))
    assert len(caplog.messages) == bool(said)
    begin, _, end = said.partition(" .* ")
    assert not said or (caplog.messages[0].startswith(begin) and end in caplog.messages[0])
