import hashlib

import torch

from graft.data.images import InMemoryImages
from graft.data.listing import hashes, names


def test_names_of_a_data_set_with_test_images_of_its_own_count_from_each_part():
    test = torch.tensor([False, False, True, False, True])
    pixels = torch.arange(5).byte().view(5, 1, 1, 1)
    images = InMemoryImages(torch.zeros(5), test, torch.zeros_like(test), ("a",), pixels)
    assert names(images, [0, 3, 2, 4]) == ["train/0", "train/2", "test/0", "test/1"]
    assert hashes(images, [3, 3]) == [hashlib.sha256(bytes([3])).hexdigest()[:32]] * 2
