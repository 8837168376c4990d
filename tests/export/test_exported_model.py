from collections import OrderedDict
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image
from torch import nn

from graft.backbones.backbone import CNN, Backbone
from graft.data.preprocess import Preprocess
from graft.export.exported_model import ExportedModel
from graft.heads.head import Dense, Logistic, Plain, Ridge
from graft.inference.trained_model import TrainedModel
from graft.reading.decode import decode

CLASSES = ["cat", "dog", "hen"]


def trained(
    backbone: Backbone, trials: int = 2, frozen: int = 1, head: Callable[..., nn.Module] = Plain, **config: object
) -> TrainedModel:
    """Return a model of random weights."""
    front, rest = backbone.split(frozen)
    heads = [head(backbone.num_features(), len(CLASSES)) for _ in range(trials)]
    networks = [nn.Sequential(OrderedDict(stages=rest, head=each)) for each in heads]
    image = backbone.preprocess.settings["image"]
    about = {"classes": CLASSES, "seeds": list(range(trials)), "image": image, "frozen_stages": frozen}
    return TrainedModel(front, networks, {**about, **config}, Path("job"))


@pytest.mark.parametrize(
    ("preprocess", "head"),
    [
        (Preprocess([1, 20, 20], pad=2), Dense),
        (Preprocess([3, 24, 20]), Ridge),
        (Preprocess([1, 20, 20], channels=3), Logistic),
    ],
)
def test_given_equal_pixels_it_says_what_the_trials_say(preprocess: Preprocess, head: type[nn.Module]):
    model = trained(CNN(preprocess), trials=3, head=head)
    pixels = torch.randint(0, 256, (5, *model.image_shape), dtype=torch.uint8)
    given = pixels.expand(-1, 3, -1, -1).permute(0, 2, 3, 1)
    expected = model.probabilities(pixels)
    for seeds in ([0, 1, 2], [1]):
        found = ExportedModel(model, seeds)(given)
        torch.testing.assert_close(found, expected[seeds].mean(0), atol=1e-6, rtol=0)
    assert model.networks[0].training is False
    half = ExportedModel(model, [0], half=True)(given)
    torch.testing.assert_close(half, expected[0], atol=0.02, rtol=0)
    assert not torch.equal(half, expected[0])


def test_the_mean_of_all_trials_has_their_temperature_and_no_other_has():
    model = trained(CNN(Preprocess([1, 20, 20])), trials=3)
    model.temperature = 2.5
    pixels = torch.randint(0, 256, (5, *model.image_shape), dtype=torch.uint8)
    given = pixels.expand(-1, 3, -1, -1).permute(0, 2, 3, 1)
    expected = model.probabilities(pixels)
    found = ExportedModel(model, [0, 1, 2])(given)
    torch.testing.assert_close(found, (expected.mean(0).log() / 2.5).softmax(1), atol=1e-6, rtol=0)
    assert (found - expected.mean(0)).abs().max() > 1e-3
    torch.testing.assert_close(ExportedModel(model, [1])(given), expected[1], atol=1e-6, rtol=0)


@pytest.mark.parametrize("interpolation", ["bilinear", "bicubic"])
@pytest.mark.parametrize("image", [(3, 28, 28), (3, 24, 40)])
def test_a_network_of_another_size_gets_nearly_the_same_inputs(interpolation: str, image: tuple[int, int, int]):
    model = trained(CNN(Preprocess(image, size=32, interpolation=interpolation)))
    pixels = torch.randint(0, 256, (4, *image), dtype=torch.uint8)
    found, expected = ExportedModel(model, [0]).scaled(pixels.double()), model.preprocess(pixels)
    assert found.shape == expected.shape
    assert (found - expected).abs().max() <= 2 / 255 + 1e-6


@pytest.mark.parametrize("fit", ["crop", "squash", "pad"])
@pytest.mark.parametrize("interpolation", ["bilinear", "bicubic"])
def test_colors_become_gray_before_they_are_resized_as_in_reading(tmp_path: Path, fit: str, interpolation: str):
    colors = np.random.default_rng(0).integers(0, 256, (30, 45, 3), dtype=np.uint8)
    Image.fromarray(colors).save(tmp_path / "a.png")
    model = trained(CNN(Preprocess([1, 20, 20])), reading={"fit": fit, "interpolation": interpolation, "white": None})
    found = ExportedModel(model, [0]).read(torch.from_numpy(colors)[None])
    expected = decode(tmp_path / "a.png", (1, 20, 20), fit, interpolation=interpolation)
    assert (found[0] - expected).abs().max() <= (fit == "squash")
