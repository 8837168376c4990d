import copy
from dataclasses import replace

import pytest
import torch
from PIL import Image
from torch.nn.functional import interpolate
from torchvision.models import VGG16_Weights
from torchvision.transforms.functional import pil_to_tensor

from graft.data.dataset import MNIST5k
from graft.data.images import InMemoryImages
from graft.data.preprocess import InputSpec, Preprocess, PretrainedInput

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
        "to use the former, remove dataset.pixels= and dataset.size="
    )
