import math
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pandas
import pytest
import torch
from conftest import ROOT
from omegaconf import OmegaConf
from plain_loop import frozen_network, scratch_network, trained
from torchvision.transforms import v2
from torchvision.transforms.v2 import functional

from graft.config.build import build
from graft.data.augment import Augment, Chance, Distort
from graft.data.datamodule import SmallDataModule
from graft.data.dataset import MNIST5k
from graft.errors import GraftError
from graft.heads.head import Plain
from graft.results.outcomes import read_outcomes
from graft.seed import generator, stream_seed

Run = Callable[..., dict]
QUICK = ("source.epochs=1", "trials=2", "epochs=1", "dropout=0")
OPTIONS = ("digits", "photos", "randaug")


def option(name: str) -> Augment:
    return build(OmegaConf.create({"augment": OmegaConf.load(ROOT / "conf" / "augment" / f"{name}.yaml")}), "augment")


def streams(*seeds: int) -> list[torch.Generator]:
    return [generator(seed, "augment") for seed in seeds]


def drawn(seed: int) -> Chance:
    """Return the random numbers of a stream's first image."""
    return Chance(*torch.rand(len(Chance._fields), generator=streams(seed)[0]))


def photos(count: int) -> torch.Tensor:
    return torch.randint(0, 256, (count, 3, 16, 20), dtype=torch.uint8, generator=torch.Generator().manual_seed(0))


@pytest.mark.parametrize("name", OPTIONS)
def test_each_trial_and_each_image_is_augmented_differently(name: str):
    augment, images = option(name), photos(1).expand(8, -1, -1, -1)
    together = augment(images, streams(1, 2))
    assert torch.equal(together[4:], augment(images[4:], streams(2)))
    assert not torch.equal(together[:4], together[4:])
    assert len(together.flatten(1).unique(dim=0)) == 8
    assert together.shape == images.shape
    assert together.dtype == torch.float32
    assert together.min() >= 0
    assert together.max() <= 255
    assert torch.equal(images, photos(1).expand(8, -1, -1, -1))


@pytest.mark.parametrize("name", OPTIONS)
@pytest.mark.parametrize("channels", [1, 3])
def test_bytes_and_floats_are_augmented_equally(name: str, channels: int):
    augment, images = option(name), photos(6)[:, :channels]
    torch.testing.assert_close(augment(images, streams(0)), augment(images.float(), streams(0)))


def test_without_settings_images_stay_the_same():
    assert torch.equal(Distort()(photos(4), streams(0)), photos(4).float())


def test_a_flip_is_torchvision_s():
    torch.testing.assert_close(
        Distort(flip=1.0)(photos(4), streams(0)), functional.hflip(photos(4).float()), atol=1e-2, rtol=0
    )


def test_geometric_changes_are_torchvision_s():
    image = v2.functional.gaussian_blur(photos(1).float(), [3, 3])
    for settings in ({"rotate": 30.0}, {"scale": 0.4}, {"shear": 20.0}, {"translate": 0.3}):
        moved = Distort(**settings)(image, streams(3))  # type: ignore[arg-type]
        angle, zoom, shear, right, down = (2 * float(chance) - 1 for chance in drawn(3)[:5])
        name = next(iter(settings))
        expected = functional.affine(
            image,
            angle=-30 * angle if name == "rotate" else 0,
            translate=[-0.3 * right * 20, -0.3 * down * 16] if name == "translate" else [0, 0],  # type: ignore[list-item]
            scale=1 + 0.4 * zoom if name == "scale" else 1,
            shear=[0, 0],
            interpolation=functional.InterpolationMode.BILINEAR,
        )
        if name == "shear":
            move = math.tan(math.radians(20 * shear))
            rows = torch.arange(16.0)[:, None] - 7.5
            grid = torch.stack([(torch.arange(20.0) + move * rows - 9.5) / 10, (rows / 8).expand(16, 20)], -1)
            expected = torch.nn.functional.grid_sample(image, grid[None], align_corners=False)
        inner = (..., slice(3, -3), slice(3, -3))  # the two differ in how they fade into the fill
        if name == "translate":
            assert (moved - expected).abs()[inner].median() < 12  # torchvision shifts by whole pixels
        else:
            torch.testing.assert_close(moved[inner], expected[inner], atol=0.5, rtol=0.01)


def test_all_geometric_changes_together_are_the_product_of_their_matrices():
    height, width = 16, 20
    chance = drawn(3)
    angle, zoom, shear, right, down = (2 * float(chance) - 1 for chance in chance[:5])
    angle, shear = math.radians(30 * angle), math.tan(math.radians(20 * shear))
    rotation = torch.tensor([[math.cos(angle), -math.sin(angle)], [math.sin(angle), math.cos(angle)]])
    product = torch.diag(torch.tensor([-1.0, 1.0])) @ rotation @ torch.tensor([[1.0, shear], [0.0, 1.0]])
    product = product / (1 + 0.4 * zoom)
    # Pixel centers relative to the image's center, in pixels, (height, width, 2).
    y, x = torch.meshgrid(torch.arange(height) - 7.5, torch.arange(width) - 9.5, indexing="ij")
    points = torch.stack([x, y], -1) @ product.T + torch.tensor([0.2 * right * width, 0.2 * down * height])
    image = photos(1).float()
    expected = torch.nn.functional.grid_sample(image, points[None] / torch.tensor([10.0, 8.0]), align_corners=False)
    found = Distort(rotate=30, scale=0.4, shear=20, translate=0.2, flip=1)(image, streams(3))
    torch.testing.assert_close(found, expected, atol=0.05, rtol=0)


def test_colors_are_torchvision_s():
    chance = drawn(3)
    image = photos(1).float() / 255
    for change in ("brightness", "contrast", "saturation"):
        factor = 1 + 0.5 * (2 * float(getattr(chance, change)) - 1)
        image = getattr(functional, f"adjust_{change}")(image, factor)
    torch.testing.assert_close(Distort(colour=0.5)(photos(1), streams(3)), 255 * image, atol=1e-2, rtol=0)


def test_noise_has_its_deviation_and_erasing_its_area():
    gray = torch.full([64, 1, 32, 32], 128.0)
    assert Distort(noise=0.05)(gray, streams(0)).std().item() == pytest.approx(0.05 * 255, rel=0.02)
    erased = (Distort(erase=1.0)(gray, streams(0)) == 0).float().mean((1, 2, 3))
    assert erased.min() > 0.01
    assert erased.max() < 0.23
    assert erased.mean().item() == pytest.approx(0.11, abs=0.02)
    half = (Distort(erase=0.5)(gray, streams(0)) == 0).flatten(1).any(1).float().mean().item()
    assert half == pytest.approx(0.5, abs=0.2)


def test_only_training_images_are_augmented(digits: MNIST5k):
    data = MNIST5k(big=[0], small=[1, 3, 5, 7, 9], test_per_class=50, val_per_class=4)
    plain, augmented = (SmallDataModule(data, [0, 1], 100, True, augment) for augment in (None, option("digits")))
    for module in (plain, augmented):
        module.setup("fit")
    shown, labels, *_ = next(iter(augmented.train_dataloader()))
    bare, expected, *_ = next(iter(plain.train_dataloader()))
    assert torch.equal(labels, expected)
    changed = (shown != bare).flatten(2).any(2)
    assert changed.all()
    assert 0.1 < torch.corrcoef(torch.stack([shown.flatten(), bare.flatten().float()]))[0, 1] < 0.95  # same digits
    for ours, theirs in zip(augmented.val_dataloader(), plain.val_dataloader(), strict=True):
        for batch, untouched in zip(ours, theirs, strict=True):
            assert torch.equal(batch.inputs, untouched.inputs)
    fresh = augmented.chunk(range(2)).train_dataloader()
    again = [batch.inputs for _ in range(2) for batch in fresh]
    assert torch.equal(again[0], shown)  # another fit starts with the same epoch
    assert not torch.equal(again[0].sum(), again[1].sum())


@pytest.mark.slow
@pytest.mark.parametrize("overrides", [("tune=frozen",), ("tune.thaw=1", "augment.views=3")])
def test_trials_alone_equal_the_stack(run: Run, overrides: tuple[str, ...], way: str):
    both = run(*QUICK, "augment=digits", *overrides, name="both")
    alone = run(*QUICK, "augment=digits", *overrides, "seed=1", "trials=1", name="alone")
    bare = run(*QUICK, overrides[0], name="bare")
    assert both["trials"][1]["loss"] == pytest.approx(alone["trials"][0]["loss"], abs=1e-4)
    assert both["trials"][1]["loss"] != pytest.approx(bare["trials"][1]["loss"], abs=1e-3)


@pytest.mark.slow
@pytest.mark.parametrize("overrides", [("tune=frozen", "source.epochs=1"), ("source=scratch", "trials_at_once=1")])
def test_test_time_augmentation_averages_the_final_predictions_over_views(
    run: Run, tmp_path: Path, overrides: tuple[str, ...]
):
    settings = (
        "augment=digits", "trials=2", "epochs=1", "dropout=0", "val_every=1", *overrides,
        "dataset.test_per_class=20", "dataset.val_per_class=5",
    )  # fmt: skip
    result, plain = run(*settings, "augment.test_views=3"), run(*settings, name="plain")
    outcomes = read_outcomes(tmp_path / "job")
    assert outcomes is not None
    assert outcomes.views == 3
    data = MNIST5k(big=[0, 2, 4, 6, 8], small=[1, 3, 5, 7, 9], test_per_class=20, val_per_class=5)
    weights = trained(tmp_path / "job")
    network = scratch_network(1) if "source=scratch" in overrides else frozen_network(tmp_path / "cache", 1, plain_head)
    state = {f"stages.stage{int(name[0]) + 1}{name[1:]}": value for name, value in network[0].state_dict().items()}
    state |= {f"head.{name}": value for name, value in network[2].state_dict().items()}
    for name in weights:
        state[name].copy_(weights[name][1])  # what the state dict lists is what the network has
    augment, count = option("digits"), len(data.images.labels)
    for prefix, images in (("", data.test), ("val_", data.sample(1)[1])):
        pixels = next(data.images.batches([images]))
        views = [pixels.float()]
        for view in range(2):
            indices = [view * count + image for image in images.tolist()]
            pairs = zip(pixels, indices, strict=True)
            views.append(torch.cat([augment(one[None], [view_stream(index)]) for one, index in pairs]))
        with torch.no_grad():
            mean = torch.stack([network(view / 255).softmax(1) for view in views]).mean(0)
        labels = data.images.labels[images] // 2
        expected = torch.nn.functional.nll_loss(mean.log(), labels).item()
        assert result["trials"][1][f"{prefix}loss"] == pytest.approx(expected, abs=1e-4)
        assert result["trials"][1][f"{prefix}accuracy"] == pytest.approx(
            (mean.argmax(1) == labels).float().mean().item(), abs=0.011
        )
        assert plain["trials"][1][f"{prefix}loss"] != pytest.approx(expected, abs=1e-3)
        stored = outcomes.val if prefix else outcomes.test
        assert stored is not None
        assert stored.probability is not None
        np.testing.assert_allclose(stored.probability[1], mean[images.argsort()], atol=1e-3)
    curves = [pandas.read_csv(tmp_path / name / "history.csv") for name in ("job", "plain")]
    bare = curves[0].query("not split.str.endswith('_views')").reset_index(drop=True)
    pandas.testing.assert_frame_equal(bare, curves[1])


def plain_head() -> Plain:
    return Plain(1600, 5)


def view_stream(index: int) -> torch.Generator:
    return torch.Generator().manual_seed(stream_seed(index, "view"))


@pytest.mark.parametrize(
    ("overrides", "message"),
    [
        (("augment=digits", "augment.views=1"), "augment.views must be null or a whole number of at least 2, got 1"),
        (("augment=photos", "augment.flip=2"), "augment.flip must be from 0 to 1, got 2; try augment.flip=0.5"),
        (("augment=digits", "augment.fill=white"), "augment.fill must be zeros, border or reflection, got white"),
        (
            ("augment=digits", "augment.views=2", "source=scratch"),
            "augment.views must be null if all stages train, .*, got 2",
        ),
        (("augment=digits", "augment.views=2", "tune=full"), "try augment.views=null"),
        (("+augment.views=2",), r"augment\.views must be an argument of"),
        (("+augment.test_views=2",), r"augment\.test_views must be an argument of"),
        (("augment=digits", "augment.test_views=1"), "augment.test_views must be null or a whole number of at least 2"),
    ],
)
def test_impossible_settings_are_refused(run: Run, overrides: tuple[str, ...], message: str):
    with pytest.raises(GraftError, match=message):
        run(*overrides)
