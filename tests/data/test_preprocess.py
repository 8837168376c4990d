import copy
from dataclasses import replace

import pytest
import torch
from PIL import Image
from torch.nn.functional import interpolate
from torchvision.models import VGG16_Weights
from torchvision.transforms.functional import pil_to_tensor

from graft.data.augment import Distort
from graft.data.dataset import MNIST5k
from graft.data.images import InMemoryImages
from graft.data.preprocess import Enlarged, InputSpec, Preprocess, PretrainedInput, enlarged_first

IMAGENET = PretrainedInput(224, (0.485, 0.456, 0.406), (0.229, 0.224, 0.225))


def digit_bytes(digits: MNIST5k) -> torch.Tensor:
    assert isinstance(digits.images, InMemoryImages)
    return digits.images.pixels[:3]


def test_without_weights_pixels_are_0_to_1(digits: MNIST5k):
    pixels = digit_bytes(digits)
    assert torch.equal(InputSpec().preprocess(digits.images.shape)(pixels), pixels / 255)


def test_bytes_stay_bytes(digits: MNIST5k):
    pixels = digit_bytes(digits)
    assert torch.equal(InputSpec("byte").preprocess([1, 28, 28])(pixels), pixels.float())


def test_padding_puts_zeros_on_every_side_and_rgb_repeats_the_channel(digits: MNIST5k):
    pixels = digit_bytes(digits)
    preprocess = Preprocess([1, 28, 28], pad=2).rgb()
    padded = preprocess(pixels)
    assert preprocess.output_shape == padded.shape[1:] == (3, 32, 32)
    for channel in range(3):
        assert torch.equal(padded[:, channel, 2:-2, 2:-2], pixels[:, 0] / 255)
    assert padded.sum() == pytest.approx(3 * float(pixels.sum() / 255), rel=1e-6)


def test_resizing_is_antialiased_as_pillow_s(digits: MNIST5k):
    pixels = digit_bytes(digits)
    expected = [
        pil_to_tensor(Image.fromarray(p[0].numpy()).resize((12, 12), Image.Resampling.BILINEAR)) for p in pixels
    ]
    found = Preprocess([1, 28, 28], size=12, std=(1 / 255,))(pixels)
    assert (found - torch.stack(expected)).abs().max() <= 1


def test_the_shorter_side_is_resized_and_the_center_cropped():
    pixels = torch.zeros(1, 3, 20, 60, dtype=torch.uint8)
    pixels[..., 20:40] = 255  # the middle third is white
    preprocess = Preprocess([3, 20, 60], size=10)
    assert preprocess.output_shape == (3, 10, 10)
    assert preprocess(pixels)[..., 1:-1].min() == 1


def test_by_default_images_get_what_torchvision_s_own_transform_gives():
    weights = VGG16_Weights.IMAGENET1K_V1
    theirs = weights.transforms(resize_size=224)  # Graft cuts nothing away by resizing to more
    trained = PretrainedInput(224, tuple(theirs.mean), tuple(theirs.std))
    pixels = torch.randint(0, 256, (2, 3, 300, 260), dtype=torch.uint8)
    found = InputSpec(trained=trained).preprocess([3, 300, 260])(pixels)
    torch.testing.assert_close(found, theirs(pixels), atol=0.02, rtol=0)


@pytest.mark.parametrize(("given", "mode"), [(None, "bilinear"), ("bilinear", "bilinear"), ("bicubic", "bicubic")])
def test_images_are_resized_with_the_interpolation_that_is_asked_for(digits: MNIST5k, given: str | None, mode: str):
    pixels = digit_bytes(digits).float()
    for trained in (None, IMAGENET):
        preprocess = InputSpec("unit", size=64, interpolation=given, trained=trained).preprocess([1, 28, 28])
        expected = interpolate(pixels, (64, 64), mode=mode, antialias=True).clamp(0, 255) / 255
        torch.testing.assert_close(preprocess(pixels).clamp(0, 1), expected, atol=1e-5, rtol=0)
    assert preprocess.resizes
    assert not InputSpec(pad=2, size=32).preprocess([1, 28, 28]).resizes


def test_an_interpolation_takes_the_place_of_the_weights_own():
    assert InputSpec(trained=IMAGENET, interpolation="bicubic").scaled == replace(IMAGENET, interpolation="bicubic")


def test_settings_are_in_the_representation_that_names_stored_features():
    same, other = Preprocess([1, 28, 28], pad=2), Preprocess([1, 28, 28], pad=2, mean=(0.1,))
    assert repr(same) == repr(copy.deepcopy(same)) != repr(other)
    assert "pad=2" in repr(same)
    assert same.state_dict() == {}
    assert repr(Preprocess(**same.settings)) == repr(same)


def test_another_version_of_preprocessing_has_another_representation(monkeypatch: pytest.MonkeyPatch):
    before = repr(Preprocess([1, 28, 28]))
    monkeypatch.setattr("graft.data.preprocess.PREPROCESS_VERSION", 2)
    assert before != repr(Preprocess([1, 28, 28])) == repr(Preprocess([1, 28, 28]))


@pytest.mark.parametrize(
    ("spec", "warned"),
    [
        (InputSpec(trained=IMAGENET), False),
        (InputSpec(size=224, trained=IMAGENET), False),
        (InputSpec("unit"), False),
        (InputSpec("unit", trained=PretrainedInput(28, (0.0, 0.0, 0.0), (1.0, 1.0, 1.0))), False),
        (InputSpec("unit", trained=IMAGENET), True),
        (InputSpec(size=32, trained=IMAGENET), True),
        (InputSpec("byte", pad=2, size=32, trained=IMAGENET), True),
    ],
)
def test_inputs_that_differ_from_the_weights_own_are_warned_of(spec: InputSpec, warned: bool):
    assert (spec.warning() is not None) == warned


def test_the_warning_describes_both_inputs():
    assert InputSpec("byte", size=32, trained=IMAGENET).warning() == (
        "the weights were trained on images of 224x224, normalized with mean (0.485, 0.456, 0.406) and std "
        "(0.229, 0.224, 0.225), but get images of 32x32, 0 to 255; "
        "for the former, try dataset.pixels=weights dataset.size=null"
    )
    told = InputSpec(size=32, trained=IMAGENET).warning()
    assert told is not None
    assert told.endswith("; for the former, try dataset.size=null")  # nothing that was not chosen


def smooth(count: int, channels: int = 3) -> torch.Tensor:
    """Return images that change slowly, so that another interpolation hardly changes them."""
    coarse = torch.rand(count, channels, 4, 4, generator=torch.Generator().manual_seed(0))
    return interpolate(255 * coarse, (32, 32), mode="bicubic", align_corners=True).clamp(0, 255).round().byte()


def streams(count: int) -> list[torch.Generator]:
    return [torch.Generator().manual_seed(seed) for seed in range(count)]


def test_images_that_are_enlarged_before_augmentation_are_not_enlarged_again():
    preprocess, images = Preprocess([3, 32, 32], pad=4, size=80, interpolation="bicubic"), smooth(4)
    plain = Enlarged(Distort(), preprocess)(images, streams(4))
    assert plain.shape == (4, 3, 80, 80)
    assert torch.equal(preprocess(plain), preprocess(images))
    larger = Preprocess([3, 32, 32], size=32, pad=4)  # an image of the result's size that is to be padded and reduced
    assert larger.enlargement < 1
    assert larger(images)[..., 0, :].max() < 0.3 < preprocess(plain)[..., 40, :].max()


@pytest.mark.parametrize(
    "changes",
    [
        Distort(rotate=20, translate=0.1, scale=0.2, shear=10, flip=0.5, fill="border"),
        Distort(elastic=1.5, smoothness=8, fill="border"),
        Distort(colour=0.3),
    ],
)
def test_enlarged_images_are_changed_as_the_files_are(changes: Distort):
    preprocess, images = Preprocess([3, 32, 32], size=96), smooth(6)
    found = preprocess(Enlarged(changes, preprocess)(images, streams(6)))
    expected = preprocess(changes(images, streams(6)))
    assert (found - preprocess(images)).abs().mean() > 5 * (found - expected).abs().mean()
    assert changes.pixel == 1


def test_noise_has_the_size_of_the_files_pixels():
    preprocess, gray = Preprocess([1, 8, 8], size=24), torch.full((1, 1, 8, 8), 128, dtype=torch.uint8)
    noisy = Enlarged(Distort(noise=0.1), preprocess)(gray, streams(1))
    assert torch.equal(noisy, noisy[..., 1::3, 1::3].repeat_interleave(3, 2).repeat_interleave(3, 3))
    assert len(noisy.unique()) > 60


def test_only_images_that_preprocessing_enlarges_are_enlarged_first():
    augment = Distort(rotate=10)
    assert isinstance(enlarged_first(augment, Preprocess([3, 32, 32], size=33)), Enlarged)
    for preprocess in (Preprocess([3, 32, 32]), Preprocess([3, 32, 32], size=24), Preprocess([3, 28, 28], pad=2)):
        assert enlarged_first(augment, preprocess) is augment
    assert enlarged_first(None, Preprocess([3, 32, 32], size=64)) is None


def test_small_photos_stay_sharper_than_if_they_were_distorted_at_their_own_size():
    """A turn there and back loses less of a checkerboard if it happens after enlarging."""
    board = 255 * (torch.arange(32)[:, None] + torch.arange(32)).remainder(4).lt(2).float()[None, None]
    preprocess, changes = Preprocess([1, 32, 32], size=128, interpolation="bicubic"), Distort(translate=0.1)
    before = preprocess(Enlarged(changes, preprocess)(board, streams(1)))
    after = preprocess(changes(board, streams(1)))
    inside = (..., slice(32, 96), slice(32, 96))
    assert before[inside].std() > 1.05 * after[inside].std()
