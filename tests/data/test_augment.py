import math
from collections.abc import Callable
from pathlib import Path

import pandas
import pytest
import torch
from conftest import ROOT
from omegaconf import OmegaConf
from plain_loop import frozen_network, scratch_network, trained
from torchvision.transforms import v2
from torchvision.transforms.v2 import functional

from graft.config.build import build
from graft.data.augment import Augment, Distort
from graft.data.datamodule import SmallDataModule
from graft.data.dataset import MNIST5k
from graft.data.views import Views
from graft.errors import GraftError
from graft.model.head import Plain
from graft.seed import generator, stream_seed
from graft.training.features import FeatureStore

Run = Callable[..., dict]
QUICK = ("source.epochs=1", "trials=2", "epochs=1", "dropout=0")
OPTIONS = ("digits", "photos", "randaug")


def option(name: str) -> Augment:
    return build(OmegaConf.create({"augment": OmegaConf.load(ROOT / "conf" / "augment" / f"{name}.yaml")}), "augment")


def without_hydra(*seeds: int) -> list[torch.Generator]:
    return [generator(seed, "augment") for seed in seeds]


def photos(count: int) -> torch.Tensor:
    return torch.randint(0, 256, (count, 3, 16, 20), dtype=torch.uint8, generator=torch.Generator().manual_seed(0))


@pytest.mark.parametrize("name", OPTIONS)
def test_a_trial_s_variations_are_its_own_and_each_image_s_own(name: str):
    augment, images = option(name), photos(1).expand(8, -1, -1, -1)
    together = augment(images, without_hydra(1, 2))
    assert torch.equal(together[4:], augment(images[4:], without_hydra(2)))
    assert not torch.equal(together[:4], together[4:])
    assert len(together.flatten(1).unique(dim=0)) == 8
    assert together.shape == images.shape
    assert together.dtype == torch.float32
    assert together.min() >= 0
    assert together.max() <= 255
    assert torch.equal(images, photos(1).expand(8, -1, -1, -1))


@pytest.mark.parametrize("name", OPTIONS)
@pytest.mark.parametrize("channels", [1, 3])
def test_bytes_and_floats_vary_alike(name: str, channels: int):
    augment, images = option(name), photos(6)[:, :channels]
    torch.testing.assert_close(augment(images, without_hydra(0)), augment(images.float(), without_hydra(0)))


def test_no_variation_leaves_the_images():
    assert torch.equal(Distort()(photos(4), without_hydra(0)), photos(4).float())


def test_a_flip_is_torchvision_s():
    torch.testing.assert_close(
        Distort(flip=1.0)(photos(4), without_hydra(0)), functional.hflip(photos(4).float()), atol=1e-2, rtol=0
    )


def test_moves_are_torchvision_s():
    image = v2.functional.gaussian_blur(photos(1).float(), [3, 3])
    for settings in ({"rotate": 30.0}, {"scale": 0.4}, {"shear": 20.0}, {"translate": 0.3}):
        moved = Distort(**settings)(image, without_hydra(3))  # type: ignore[arg-type]
        angle, zoom, shear, right, down, _ = (2 * torch.rand(14, generator=without_hydra(3)[0]) - 1)[:6].tolist()
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


def test_colours_are_torchvision_s():
    factors = 1 + 0.5 * (2 * torch.rand(14, generator=without_hydra(3)[0])[6:9] - 1)
    image = photos(1).float() / 255
    for change, factor in zip(("brightness", "contrast", "saturation"), factors.tolist(), strict=True):
        image = getattr(functional, f"adjust_{change}")(image, factor)
    torch.testing.assert_close(Distort(colour=0.5)(photos(1), without_hydra(3)), 255 * image, atol=1e-2, rtol=0)


def test_noise_has_its_deviation_and_erasing_its_area():
    grey = torch.full([64, 1, 32, 32], 128.0)
    assert Distort(noise=0.05)(grey, without_hydra(0)).std().item() == pytest.approx(0.05 * 255, rel=0.02)
    erased = (Distort(erase=1.0)(grey, without_hydra(0)) == 0).float().mean((1, 2, 3))
    assert erased.min() > 0.01
    assert erased.max() < 0.23
    assert erased.mean().item() == pytest.approx(0.11, abs=0.02)
    half = (Distort(erase=0.5)(grey, without_hydra(0)) == 0).flatten(1).any(1).float().mean().item()
    assert half == pytest.approx(0.5, abs=0.2)


def test_only_training_images_vary(digits: MNIST5k):
    data = MNIST5k(big=[0], small=[1, 3, 5, 7, 9], test_per_class=50, val_per_class=4)
    plain, varied = (SmallDataModule(data, [0, 1], 100, True, augment) for augment in (None, option("digits")))
    for module in (plain, varied):
        module.setup("fit")
    shown, labels, *_ = next(iter(varied.train_dataloader()))
    bare, expected, *_ = next(iter(plain.train_dataloader()))
    assert torch.equal(labels, expected)
    changed = (shown != bare).flatten(2).any(2)
    assert changed.all()
    assert 0.1 < torch.corrcoef(torch.stack([shown.flatten(), bare.flatten().float()]))[0, 1] < 0.95  # same digits
    for ours, theirs in zip(varied.val_dataloader(), plain.val_dataloader(), strict=True):
        for batch, untouched in zip(ours, theirs, strict=True):
            assert torch.equal(batch.inputs, untouched.inputs)
    fresh = varied.chunk(range(2)).train_dataloader()
    again = [batch.inputs for _ in range(2) for batch in fresh]
    assert torch.equal(again[0], shown)  # another fit starts with the same epoch
    assert not torch.equal(again[0].sum(), again[1].sum())


def test_views_are_each_image_s_own_whoever_asks(digits: MNIST5k, tmp_path: Path):
    views, wanted = Views(digits.images, option("digits")), torch.tensor([3, 700, 4000])
    numbers = views.numbers(wanted, 2)
    (all_six,) = views.batches([numbers])
    for number, pixels in zip(numbers, all_six, strict=True):
        assert torch.equal(next(views.batches([number[None]]))[0], pixels)
    assert len(all_six.flatten(1).unique(dim=0)) == 6
    stored = FeatureStore(tmp_path, torch.device("cpu")).features(torch.nn.Flatten(), views, numbers)  # type: ignore[arg-type]
    assert torch.equal(stored, all_six.flatten(1))
    assert views.fingerprint != Views(digits.images, Distort(rotate=1)).fingerprint
    assert views.fingerprint == Views(digits.images, Distort(**option("digits").settings, views=3)).fingerprint  # type: ignore[arg-type]


@pytest.mark.parametrize("overrides", [("tune=frozen",), ("tune.thaw=1", "augment.views=3")])
def test_trials_alone_equal_the_stack(run: Run, overrides: tuple[str, ...], way: str):
    both = run(*QUICK, "augment=digits", *overrides, name="both")
    alone = run(*QUICK, "augment=digits", *overrides, "seed=1", "trials=1", name="alone")
    bare = run(*QUICK, overrides[0], name="bare")
    assert both["trials"][1]["loss"] == pytest.approx(alone["trials"][0]["loss"], abs=1e-4)
    assert both["trials"][1]["loss"] != pytest.approx(bare["trials"][1]["loss"], abs=1e-3)


@pytest.mark.parametrize("overrides", [("tune=frozen", "source.epochs=1"), ("source=scratch", "trials_at_once=1")])
def test_the_last_predictions_are_means_over_views(run: Run, tmp_path: Path, overrides: tuple[str, ...]):
    settings = (
        "augment=digits", "trials=2", "epochs=1", "dropout=0", "val_every=1", *overrides,
        "dataset.test_per_class=20", "dataset.val_per_class=5",
    )  # fmt: skip
    result, plain = run(*settings, "augment.test_views=3"), run(*settings, name="plain")
    data = MNIST5k(big=[0, 2, 4, 6, 8], small=[1, 3, 5, 7, 9], test_per_class=20, val_per_class=5)
    weights = trained(tmp_path / "job")
    network = scratch_network(1) if "source=scratch" in overrides else frozen_network(tmp_path / "cache", 1, plain_head)
    own = {f"stages.stage{int(name[0]) + 1}{name[1:]}": value for name, value in network[0].state_dict().items()}
    own |= {f"head.{name}": value for name, value in network[2].state_dict().items()}
    for name in weights:
        own[name].copy_(weights[name][1])  # what the state dict lists is what the network has
    augment, count = option("digits"), len(data.images.labels)
    for prefix, images in (("", data.test), ("val_", data.sample(1)[1])):
        pixels = next(data.images.batches([images]))
        views = [pixels.float()]
        for view in range(2):
            numbers = [view * count + image for image in images.tolist()]
            varied = zip(pixels, numbers, strict=True)
            views.append(torch.cat([augment(one[None], [drawn(number)]) for one, number in varied]))
        with torch.no_grad():
            mean = torch.stack([network(view / 255).softmax(1) for view in views]).mean(0)
        labels = data.images.labels[images] // 2
        expected = torch.nn.functional.nll_loss(mean.log(), labels).item()
        assert result["trials"][1][f"{prefix}loss"] == pytest.approx(expected, abs=1e-4)
        assert result["trials"][1][f"{prefix}accuracy"] == pytest.approx(
            (mean.argmax(1) == labels).float().mean().item(), abs=0.011
        )
        assert plain["trials"][1][f"{prefix}loss"] != pytest.approx(expected, abs=1e-3)
    curves = [pandas.read_csv(tmp_path / name / "history.csv") for name in ("job", "plain")]
    bare = curves[0].query("not split.str.endswith('_views')").reset_index(drop=True)
    pandas.testing.assert_frame_equal(bare, curves[1])


def plain_head() -> Plain:
    return Plain(1600, 5)


def drawn(number: int) -> torch.Generator:
    return torch.Generator().manual_seed(stream_seed(number, "view"))


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
        (("+augment.views=2",), "none takes no views"),
        (("+augment.test_views=2",), "none takes no test_views"),
        (("augment=digits", "augment.test_views=1"), "augment.test_views must be null or a whole number of at least 2"),
    ],
)
def test_what_cannot_be_is_refused(run: Run, overrides: tuple[str, ...], message: str):
    with pytest.raises(GraftError, match=message):
        run(*overrides)
