"""Copies: planted ones are found, and digits that look alike are not taken for copies."""

import io

import numpy as np
import pytest
import torch
from PIL import Image

from graft.audit.copies import blank, exact_copies, near_copies, nearest
from graft.audit.thumbnails import Thumbnails
from graft.data.load import mnist5k


def thumbnails(pictures: list[Image.Image]) -> Thumbnails:
    tiny = np.stack([np.asarray(each.convert("RGB").resize((8, 8), 2), dtype=np.float32) for each in pictures])
    small = np.stack([np.asarray(each.convert("RGB").resize((32, 32), 2)) for each in pictures])
    return Thumbnails(torch.from_numpy(small).permute(0, 3, 1, 2), torch.from_numpy(tiny).permute(0, 3, 1, 2), {})


def digits(count: int) -> list[Image.Image]:
    images = mnist5k(None)
    return [
        Image.fromarray(each.numpy()) for each in next(images.batches([torch.arange(0, 5000, 5000 // count)]))[:, 0]
    ]


def encoded(picture: Image.Image, quality: int) -> Image.Image:
    file = io.BytesIO()
    picture.save(file, "JPEG", quality=quality)
    return Image.open(file)


def found(pictures: list[Image.Image]) -> set[tuple[int, int]]:
    def pixels(places: list[int]) -> list[torch.Tensor]:
        return [torch.from_numpy(np.array(pictures[place].convert("RGB"))).permute(2, 0, 1) for place in places]

    return {pair[:2] for pair in near_copies(thumbnails(pictures), np.arange(len(pictures)), pixels)}


def test_resized_and_encoded_digits_are_found_and_no_others():
    pictures = digits(1000)
    copies = []
    for index in range(0, 1000, 10):
        size, quality = ((14, 14), (20, 20), (42, 42), (56, 56))[index // 10 % 4], (50, 75, 95, None)[index // 40 % 4]
        copy = pictures[index].resize(size, Image.Resampling.BICUBIC)
        copies.append(copy if quality is None else encoded(copy, quality))
    pairs = found(pictures + copies)
    planted = {(index, 1000 + index // 10) for index in range(0, 1000, 10)}
    assert pairs <= planted
    assert len(pairs) >= 95


def test_several_copies_of_one_picture_are_found():
    pictures = digits(200)
    copies = [pictures[7].resize((side, side), Image.Resampling.BICUBIC) for side in (24, 32, 40, 56)]
    first = {other for one, other in found(pictures + copies) if one == 7}
    assert first == {200, 201, 202, 203}


def test_a_digit_that_looks_like_a_small_copy_of_another_one_is_no_copy():
    pictures = digits(1000)
    small = pictures[120].resize((14, 14), Image.Resampling.BICUBIC)
    assert found([*pictures, small]) == {(120, 1000)}  # digit 157 resembles it: their correlation is 0.99


def test_equal_pixels_in_other_files_are_copies_however_many_there_are():
    pictures = digits(50)
    pairs = found(pictures + 15 * [pictures[3]])
    assert {(3, 50 + place) for place in range(15)} <= pairs


def test_colors_must_agree():
    random = np.random.default_rng(0)
    pictures = [Image.fromarray(random.integers(0, 256, (8, 8, 3), dtype=np.uint8)).resize((64, 64)) for _ in range(30)]
    gray = pictures[0].convert("L").convert("RGB").resize((32, 32))
    assert found([*pictures, gray]) == set()
    assert found([*pictures, pictures[0].resize((32, 32))]) == {(0, 30)}


def alike(count: int, random: np.random.Generator, coarse: float, fine: float) -> list[np.ndarray]:
    """Return gray values, 64x64, that are alike but for differences of 16x16 and of 2x2 pixels."""

    def shaded(side: int, deviation: float) -> np.ndarray:
        return random.normal(0, deviation, (side, side)).repeat(64 // side, 0).repeat(64 // side, 1)

    common = 128 + shaded(4, 30)
    return [common + shaded(4, coarse) + shaded(32, fine) for _ in range(count)]


def pictured(values: list[np.ndarray]) -> list[Image.Image]:
    return [Image.fromarray(each.round().clip(0, 255).astype(np.uint8)) for each in values]


def test_noise_hides_no_copy_of_large_pictures_that_are_alike():
    random = np.random.default_rng(0)
    values = alike(30, random, coarse=12, fine=6)
    noisy = values[7] + random.normal(0, 12, (64, 64))
    assert found(pictured([*values, noisy])) == {(7, 30)}


def test_pictures_of_one_size_with_equal_details_but_other_shades_are_no_copies():
    random = np.random.default_rng(0)
    values = alike(30, random, coarse=10, fine=20)
    shades = random.normal(0, 10, (4, 4)).repeat(16, 0).repeat(16, 1)
    assert found(pictured([*values, values[7] + 0.2 * shades])) == {(7, 30)}
    assert found(pictured([*values, values[7] + 0.8 * shades])) == set()


def test_too_few_images_have_no_copies():
    assert found(digits(2)[:2]) == set()
    assert near_copies(thumbnails(digits(50)), np.array([], dtype=int), lambda places: []) == []


def test_equal_contents_are_grouped():
    assert exact_copies(["a", "b", "a", "c", "b", "a"]) == [[0, 2, 5], [1, 4]]


def test_one_gray_value_is_blank():
    pixels = torch.zeros(3, 3, 32, 32, dtype=torch.uint8)
    pixels[1] = 255
    pixels[2, :, :8] = 200
    assert blank(pixels).tolist() == [True, True, False]


@pytest.mark.parametrize("among", [None, torch.arange(0, 40, 2)])
def test_neighbors_are_those_of_a_plain_loop(among: torch.Tensor | None, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr("graft.audit.copies.VALUES", 200)  # several parts
    vectors = torch.nn.functional.normalize(torch.randn(40, 5))
    distances, places = nearest(vectors, 3, among)
    for row in range(40):
        others = [other for other in (range(40) if among is None else among.tolist()) if other != row]
        expected = sorted(others, key=lambda other: float((vectors[row] - vectors[other]).norm()))[:3]
        known = torch.arange(40) if among is None else among
        assert known[places[row]].tolist() == expected
        assert distances[row].tolist() == pytest.approx(
            [float((vectors[row] - vectors[other]).norm()) for other in expected], abs=1e-3
        )
