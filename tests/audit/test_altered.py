"""Altered copies: what features bring together is a copy if the pictures can be laid onto each other."""

import numpy as np
import pytest
import torch
from PIL import Image, ImageDraw, ImageEnhance

from graft.audit.altered import altered_copies

COUNT = 60


def photo(seed: int) -> Image.Image:
    """Return a picture of some shapes that no other seed has."""
    grid = np.random.default_rng(seed).integers(0, 256, (7, 7, 3)).astype(np.uint8)
    return Image.fromarray(grid).resize((64, 64), Image.Resampling.BICUBIC)


ALTERED = {
    "crop": lambda picture: picture.crop((2, 5, 60, 63)),
    "rotation": lambda picture: picture.rotate(5, Image.Resampling.BICUBIC),
    "brightness": lambda picture: ImageEnhance.Brightness(picture).enhance(0.7),
    "contrast": lambda picture: ImageEnhance.Contrast(picture).enhance(0.7),
}


def pixels(pictures: list[Image.Image]) -> torch.Tensor:
    small = np.stack([np.asarray(each.resize((32, 32), Image.Resampling.BILINEAR)) for each in pictures])
    return torch.from_numpy(small).permute(0, 3, 1, 2)


def vectors(count: int, *alike: tuple[int, int]) -> torch.Tensor:
    """Return directions at random, but for pairs that are close."""
    generator = torch.Generator().manual_seed(0)
    values = torch.randn(count, 64, generator=generator)
    for one, other in alike:
        values[other] = values[one] + 0.3 * torch.randn(64, generator=generator)
    return torch.nn.functional.normalize(values)


@pytest.mark.parametrize("kind", ALTERED)
def test_an_altered_copy_is_found_and_another_picture_as_close_to_the_network_is_not(kind: str):
    pictures = [photo(seed) for seed in range(COUNT)]
    pictures += [ALTERED[kind](pictures[3]), photo(1000)]
    found = altered_copies(vectors(COUNT + 2, (3, COUNT), (4, COUNT + 1)), pixels(pictures), [])
    assert [pair[:2] for pair in found] == [(3, COUNT)]
    assert found[0].similarity > 0.95


def test_copies_are_looked_for_among_what_a_network_finds_alike_and_known_ones_are_not_said_twice():
    pictures = [photo(seed) for seed in range(COUNT)]
    pictures.append(ALTERED["crop"](pictures[3]))
    assert altered_copies(vectors(COUNT + 1), pixels(pictures), []) == []
    assert altered_copies(vectors(COUNT + 1, (3, COUNT)), pixels(pictures), [(3, COUNT)]) == []


def test_several_altered_copies_of_one_picture():
    pictures = [photo(seed) for seed in range(COUNT)]
    pictures += [change(pictures[3]) for change in (ALTERED["crop"], ALTERED["brightness"], ALTERED["rotation"])]
    alike = [(3, COUNT), (3, COUNT + 1), (3, COUNT + 2)]
    found = altered_copies(vectors(COUNT + 3, *alike), pixels(pictures), [])
    assert {pair[:2] for pair in found} >= set(alike)


def test_pictures_in_plain_colors_with_little_on_them_are_no_copies():
    sky = [Image.new("RGB", (64, 64), (90, 120, 200 + seed % 40)) for seed in range(COUNT)]
    random = np.random.default_rng(0)
    for picture in sky:
        x, y = random.integers(0, 50, 2).tolist()
        ImageDraw.Draw(picture).ellipse((x, y, x + 12, y + 8), fill=(20, 20, 20))
    assert altered_copies(vectors(COUNT, (3, 4), (10, 11)), pixels(sky), []) == []


@pytest.mark.parametrize("count", [0, 1, 2])
def test_too_few_images_have_no_altered_copies(count: int):
    assert altered_copies(vectors(max(count, 1))[:count], pixels([photo(1)] * 3)[:count], []) == []
