import io
import sys
from collections import OrderedDict
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from folders import forget
from PIL import Image
from torch import nn
from torch.nn.functional import interpolate

from graft.backbones.backbone import CNN, CNN5, Backbone
from graft.data.preprocess import Preprocess
from graft.errors import GraftError
from graft.heads.head import Dense, Plain
from graft.inference import explain
from graft.inference.explain import SIDE, evidence, explanations, overlaid, predicted
from graft.inference.trained_model import TrainedModel
from graft.results.outcomes import read_outcomes
from graft.results.records import Record

pytest.importorskip("captum")

COLOR = Preprocess((3, 32, 32))


def model_of(backbones: Sequence[Backbone], heads: Sequence[nn.Module], frozen: int = 0) -> TrainedModel:
    """Return the model of trials, which share the first one's frozen stages."""
    front, _ = backbones[0].split(frozen)
    networks = [
        nn.Sequential(OrderedDict(stages=backbone.split(frozen)[1], head=head))
        for backbone, head in zip(backbones, heads, strict=True)
    ]
    config = {"classes": ["a", "b"], "seeds": list(range(len(heads))), "image": [3, 32, 32], "frozen_stages": frozen}
    return TrainedModel(front, networks, config, Path())


class Pooled(Backbone):
    """A CNN whose features are averages over positions."""

    def __init__(self, preprocess: Preprocess):
        stages = [nn.Sequential(nn.Conv2d(3, 8, 3), nn.Tanh()), nn.Sequential(nn.Conv2d(8, 6, 3, 2), nn.Tanh())]
        super().__init__(preprocess, stages, pool="average")


@pytest.mark.parametrize("frozen", [0, 1, 2])
@pytest.mark.parametrize("trials", [1, 3])
def test_it_is_grad_cam_as_computed_by_hand(frozen: int, trials: int):
    torch.manual_seed(1)
    backbones = [Pooled(COLOR) for _ in range(trials)]
    heads = [Plain(6, 3, 0.5) for _ in range(trials)]
    model = model_of(backbones, heads, frozen)
    pixels, classes = torch.randint(0, 255, (10, 3, 32, 32), dtype=torch.uint8), torch.arange(10) % 3
    found = evidence(model, pixels, classes)
    for image in range(10):
        maps, logits = [], []
        for trial in range(trials):
            own = [backbones[0 if stage < frozen else trial].stages[stage] for stage in range(2)]
            if frozen < 2 or not maps:
                maps.append(nn.Sequential(*own)(pixels[image : image + 1] / 255).detach().requires_grad_())
            logits.append(nn.functional.linear(maps[-1].mean((2, 3)), *heads[trial][1].parameters()))
        mean, own_class = torch.stack(logits).mean(0)[0], int(classes[image])
        others = mean[torch.arange(3) != own_class]
        gradients = torch.autograd.grad(mean[own_class] - others.exp().sum().log(), maps)
        weighted = [
            (gradient.mean((2, 3), keepdim=True) * each).sum(1, keepdim=True)
            for gradient, each in zip(gradients, maps, strict=True)
        ]
        expected = interpolate(sum(weighted[1:], weighted[0]).relu(), (32, 32), mode="bilinear")
        assert torch.allclose(found[image], expected[0, 0], atol=1e-6)
        assert expected.max() > 1e-4 or found[image].max() < 1e-4


def planted(count: int, seed: int) -> tuple[torch.Tensor, torch.Tensor]:
    """Return noise with a square in the upper left corner, whose color is the class."""
    random = torch.Generator().manual_seed(seed)
    pixels = torch.randint(0, 120, (count, 3, 32, 32), generator=random).byte()
    labels = torch.randint(0, 2, (count,), generator=random)
    pixels[:, :, 2:10, 2:10] = torch.tensor([[255, 0, 0], [0, 0, 255]]).byte()[labels][..., None, None]
    return pixels, labels


def fitted(backbone: Backbone, head: nn.Module, epochs: int) -> TrainedModel:
    """Train a network on planted squares until it knows them."""
    network = nn.Sequential(backbone, head)
    optimizer = torch.optim.Adam(network.parameters(), lr=2e-3)
    pixels, labels = planted(256, 0)
    for _ in range(epochs):
        for part in torch.randperm(256).split(32):
            optimizer.zero_grad()
            nn.functional.cross_entropy(network(pixels[part]), labels[part]).backward()
            optimizer.step()
    return model_of([backbone], [head], backbone.keep)


def vit(pool: str, **more: bool) -> Backbone:
    backbone_timm = pytest.importorskip("graft.backbones.backbone_timm")
    timm = pytest.importorskip("timm")
    settings = {"img_size": 32, "patch_size": 4, "embed_dim": 32, "depth": 3, "num_heads": 2, "num_classes": 0}
    network = timm.models.VisionTransformer(**settings, global_pool=pool, class_token=pool == "token", **more)
    return Backbone(COLOR, backbone_timm._stages(network, ("", "blocks.1", "blocks.2"), (32, 32)), pool="average")


@pytest.mark.slow
@pytest.mark.parametrize(
    ("make", "head", "epochs", "least"),
    [
        (lambda: CNN(COLOR), Plain, 6, 0.6),  # features are flattened
        (lambda: CNN(COLOR), Dense, 6, 0.5),
        (lambda: CNN5(COLOR), Plain, 4, 0.4),
        (lambda: vit("token"), Plain, 10, 0.7),
        (lambda: vit("avg"), Plain, 10, 0.3),
    ],
)
def test_a_square_that_decides_the_class_is_hot(
    make: Callable[[], Backbone], head: type[nn.Module], epochs: int, least: float
):
    backbone = make()
    model = fitted(backbone, head(backbone.num_features(), 2), epochs)
    pixels, labels = planted(24, 1)
    assert (model.probabilities(pixels)[0].argmax(1) == labels).all()
    heat = evidence(model, pixels, predicted(model, pixels))
    share = heat[:, :12, :12].sum((1, 2)) / heat.sum((1, 2)).clamp(min=1e-9)
    assert share.mean() > least > 2 * (12 * 12) / (32 * 32)


@pytest.mark.parametrize("pool", ["token", "avg"])
def test_a_transformer_that_takes_images_of_any_size_has_the_same_patches(pool: str):
    fixed, free = vit(pool), vit(pool, dynamic_img_size=True)
    free.load_state_dict(fixed.state_dict())
    head, (pixels, _) = Plain(fixed.num_features(), 2), planted(4, 2)
    heats = [evidence(model_of([each], [head]), pixels, torch.tensor([0, 1, 0, 1])) for each in (fixed, free)]
    assert heats[0].any()
    assert torch.equal(*heats)


def test_a_model_without_maps_is_refused():
    class Flat(Backbone):
        def __init__(self):
            super().__init__(Preprocess((3, 1, 1)), [nn.Flatten()])

    model = model_of([Flat()], [Plain(3, 2)])
    with pytest.raises(GraftError, match="has an output with height and width"):
        evidence(model, torch.zeros(1, 3, 1, 1, dtype=torch.uint8), torch.zeros(1, dtype=torch.long))


@pytest.mark.parametrize(("side", "shown"), [(28, 140), (32, 160), (160, 160), (224, 160), (500, 160)])
def test_a_picture_is_colored_where_the_evidence_is_and_stays_itself_elsewhere(side: int, shown: int):
    heat = torch.zeros(side, side)
    heat[: side // 4, : side // 4] = 3.0
    gray = torch.full((1, side, side), 100, dtype=torch.uint8)
    picture = np.asarray(Image.open(io.BytesIO(overlaid(gray, heat))))
    assert picture.shape == (shown, shown, 3)
    assert shown <= SIDE
    assert (picture[shown // 2 :] == 100).all()
    red, _, blue = picture[shown // 10, shown // 10].astype(int)
    assert red - blue > 60  # yellow
    assert (np.asarray(Image.open(io.BytesIO(overlaid(gray, torch.zeros(side, side))))) == 100).all()


Run = Callable[..., dict]
SMALL = ("trials=2", "epochs=2", "source.epochs=1")


def record(folder: Path, result: dict) -> Record:
    return Record("job", result, folder, outcomes=read_outcomes(folder))


@pytest.mark.slow
@pytest.mark.parametrize(
    "words",
    [["head=plain"], ["head=logistic"], ["head=ridge", "keep_weights=best"], ["head=kernel_ridge"], ["tune=full"]],
)
def test_a_job_s_images_are_explained_by_their_number(run: Run, tmp_path: Path, words: list[str]):
    job = record(tmp_path / "job", run(*SMALL, *words))
    assert job.outcomes is not None
    numbers = [int(number) for number in job.outcomes.test.image[0, [5, 0, 9]]]
    found = explanations(job, numbers)
    assert sorted(found) == sorted(numbers)
    for content, name in found.values():
        assert name in job.outcomes.classes
        picture = np.asarray(Image.open(io.BytesIO(content)))
        assert picture.shape == (140, 140, 3)
        assert (picture[..., 0] != picture[..., 2]).any()  # the digits themselves are gray


def test_an_image_that_has_changed_since_is_left_out(run: Run, tmp_path: Path):
    job = record(tmp_path / "job", run(*SMALL))
    assert job.outcomes is not None
    first, second = (int(number) for number in job.outcomes.test.image[0, :2])
    images = job.outcomes.images.copy()  # tables are shared by all readers of a file
    images.loc[first, "hash"] = "other"
    job.outcomes = replace(job.outcomes, images=images)
    assert list(explanations(job, [first, second])) == [second]
    assert explanations(job, [first]) == {}


def test_files_that_are_added_change_no_explanation(run: Run, tmp_path: Path):
    noise = np.random.default_rng(0)
    for place in range(16):  # white is 1,023
        path = tmp_path / "photos" / ("cat", "dog")[place % 2] / f"{place}.png"
        path.parent.mkdir(parents=True, exist_ok=True)
        Image.fromarray(noise.integers(0, 1000, (12, 12)).astype(np.uint16)).save(path)
    photos = ("dataset=image_folder", f"dataset.root={tmp_path / 'photos'}", "dataset.small_per_class=3")
    job = record(tmp_path / "job", run(*photos, "source=scratch", "trials=1", "epochs=2", "backbone.keep=1"))
    assert job.outcomes is not None
    numbers = job.outcomes.test.image[0].tolist()
    found = explanations(job, numbers)
    assert list(found) == numbers
    Image.fromarray(np.full((12, 12), 60_000, np.uint16)).save(tmp_path / "photos" / "cat" / "!.png")
    forget()
    assert explanations(job, numbers) == found


@pytest.mark.slow
def test_a_job_without_weights_or_images_and_a_missing_package_are_told(
    run: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    job = record(tmp_path / "job", run(*SMALL, "keep_weights=none"))
    with pytest.raises(GraftError, match=r"nothing is explained: .* no weights: keep_weights=none has left them out"):
        explanations(job, [0])
    job = record(tmp_path / "votes", run(*SMALL, "head=knn", name="votes"))
    assert job.outcomes is not None
    with pytest.raises(GraftError, match=r"nothing is explained: the votes of head=knn are counted .* try head=kernel"):
        explanations(job, list(job.outcomes.images.index[:1]))
    job = record(tmp_path / "own", run(*SMALL, name="own"))
    assert job.outcomes is not None
    job.result["config"]["dataset"]["_target_"] = "mypkg.Data"
    with pytest.raises(GraftError, match=r"nothing is explained: its data set, mypkg.Data, is none of Graft's"):
        explanations(job, list(job.outcomes.images.index[:1]))
    monkeypatch.setitem(sys.modules, "captum", None)
    with pytest.raises(GraftError, match=r"captum, which is not installed; try pip install -e \"\.\[explain\]\""):
        explain.captum_attributions()
