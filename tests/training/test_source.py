import argparse
import functools
import importlib
import multiprocessing
import urllib.error
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import pytorch_lightning as pl
import torch
import torchvision
from domain_tables import files, split, used, write_sites
from safetensors.torch import save_file
from torch import nn

from graft.backbones.backbone import CNN, VGG16
from graft.backbones.backbone_torchvision import Torchvision
from graft.data.datamodule import BigDataModule, TrialDataModule
from graft.data.dataset import MNIST5k
from graft.data.loader import Batch
from graft.data.preprocess import InputSpec, Preprocess, PretrainedInput
from graft.errors import GraftError
from graft.files import write_tensors
from graft.heads.head import Plain
from graft.training.checkpoint import Checkpoint
from graft.training.source import Big, File, ImageNet, Scratch
from graft.training.transfer import TransferModule

make_trainer = functools.partial(
    pl.Trainer,
    accelerator="cpu",
    enable_progress_bar=False,
    enable_model_summary=False,
)
DIGIT = Preprocess([1, 28, 28])
make_cnn = functools.partial(CNN, DIGIT)
Damage = Callable[[dict[str, torch.Tensor]], object]


def few_digits() -> MNIST5k:
    return MNIST5k(big=[0, 2], small=[1, 3], test_per_class=250)


def big(**settings) -> Big:
    optimizer = functools.partial(torch.optim.Adam, lr=settings.pop("lr", 1e-3))
    head = functools.partial(Plain, dropout=settings.pop("dropout", 0.5))
    return Big(**{"epochs": 1, "batch_size": 250, "head": head, "optimizer": optimizer, **settings})


@pytest.fixture
def fits(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """Grow by one at each fit."""
    count: list[int] = []
    fit = pl.Trainer.fit
    monkeypatch.setattr(pl.Trainer, "fit", lambda *args, **kwargs: (count.append(1), fit(*args, **kwargs))[1])
    return count


def test_sources_say_whether_they_give_trained_weights_and_whether_they_train_them():
    sources = [Scratch(), ImageNet(), File("any"), big()]
    assert [source.trained for source in sources] == [False, True, True, True]
    assert [source.pretrains for source in sources] == [False, False, False, True]


def test_scratch_has_no_weights(tmp_path: Path):
    assert Scratch().weights(make_cnn, few_digits(), make_trainer, tmp_path) is None


@pytest.mark.parametrize("write", [save_file, torch.save])
def test_files_of_either_kind_are_read(tmp_path: Path, write: Callable):
    expected = CNN(DIGIT).state_dict()
    path = tmp_path / f"weights.{'safetensors' if write is save_file else 'pt'}"
    write(expected, path)
    found = File(str(path)).weights(make_cnn, few_digits(), make_trainer, tmp_path)
    assert found is not None
    assert all(torch.equal(found[name], value) for name, value in expected.items())


@pytest.mark.parametrize(
    ("damage", "message"),
    [
        (lambda w: w.pop("stages.0.0.bias"), "stages.0.0.bias is missing"),
        (lambda w: w.update(extra=torch.ones(1)), "extra is not a weight of this backbone"),
        (
            lambda w: w.update({"stages.1.0.weight": torch.ones(64, 3, 3, 3)}),
            r"stages.1.0.weight has shape \(64, 3, 3, 3\) instead of \(64, 32, 3, 3\)",
        ),
    ],
)
def test_weights_of_other_names_or_shapes_are_refused(tmp_path: Path, damage: Damage, message: str):
    weights = CNN(DIGIT).state_dict()
    damage(weights)
    save_file(weights, tmp_path / "w.safetensors")
    with pytest.raises(GraftError, match=message):
        File(str(tmp_path / "w.safetensors")).weights(make_cnn, few_digits(), make_trainer, tmp_path)


def published() -> dict[str, torch.Tensor]:
    """Return random weights with the names and shapes of torchvision's VGG-16."""
    with torch.device("meta"):
        shapes = torchvision.models.vgg16().state_dict()
    return {name: torch.zeros(1).expand(value.shape) for name, value in shapes.items()}


def test_published_weights_come_from_torch_hub_and_bring_their_pixels(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    asked = []
    enum = torchvision.models.VGG16_Weights
    monkeypatch.setattr(enum, "get_state_dict", lambda self, **_: (asked.append(self), published())[1])
    source = ImageNet("IMAGENET1K_FEATURES")
    trained = source.trained_on(VGG16.published)
    assert trained is not None
    assert (trained.size, trained.mean) == (224, (0.48235, 0.45882, 0.40784))
    make = functools.partial(VGG16, Preprocess([3, 32, 32]))
    found = source.weights(make, few_digits(), make_trainer, tmp_path)
    assert asked == [enum.IMAGENET1K_FEATURES]
    assert found is not None
    assert found.keys() == make().state_dict().keys()


def test_an_impossible_download_says_what_to_do(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    def refuse(*_: object, **__: object) -> None:
        raise urllib.error.URLError("no route to host")

    monkeypatch.setattr(torchvision.models.VGG16_Weights, "get_state_dict", refuse)
    with pytest.raises(GraftError, match=r"vgg16-397923af.pth cannot be downloaded .*no route.* or try source=file"):
        ImageNet().weights(functools.partial(VGG16, Preprocess([3, 32, 32])), few_digits(), make_trainer, tmp_path)


@pytest.mark.parametrize("source", [ImageNet("IMAGENET1K_V2"), File("any", "IMAGENET1K_V2")])
def test_unknown_published_weights_are_refused_with_the_nearest(source: ImageNet | File):
    with pytest.raises(GraftError, match=r"IMAGENET1K_V1, IMAGENET1K_FEATURES.*got IMAGENET1K_V2; try .*IMAGENET1K_V1"):
        source.trained_on(VGG16.published)
    with pytest.raises(GraftError, match="CNN has no published weights; try source=big"):
        source.trained_on(CNN.published)


@pytest.mark.parametrize("names", ["features", "whole", "own"])
def test_a_file_may_bear_torchvision_s_names(tmp_path: Path, names: str):
    make = functools.partial(VGG16, Preprocess([3, 32, 32]))
    backbone = make()
    theirs = {f"features.{name.split('.', 2)[2]}": value for name, value in backbone.state_dict().items()}
    head = {"classifier.0.weight": torch.zeros(2, 2)}
    weights = {"features": theirs, "whole": theirs | head, "own": backbone.state_dict()}[names]
    save_file(weights, tmp_path / "w.safetensors")
    found = File(str(tmp_path / "w.safetensors")).weights(make, few_digits(), make_trainer, tmp_path)
    assert found is not None
    assert found.keys() == backbone.state_dict().keys()
    assert all(torch.equal(found[name], value) for name, value in backbone.state_dict().items())


def resnet(preprocess: Preprocess | None = None) -> Torchvision:
    return Torchvision(preprocess or Preprocess([3, 32, 32]), "resnet18")


Wrap = Callable[[dict[str, torch.Tensor]], dict]


@pytest.mark.slow
@pytest.mark.parametrize(
    "wrap",
    [
        lambda w: w,
        lambda w: w | {"fc.weight": torch.zeros(7, 512), "fc.bias": torch.zeros(7)},  # 7 classes instead of 1,000
        lambda w: {f"module.{name}": value for name, value in w.items()},
        lambda w: {f"module.model.{name}": value for name, value in w.items()} | {"criterion.weight": torch.ones(7)},
        lambda w: {"state_dict": {f"backbone.{name}": value for name, value in w.items()}, "epoch": 3},
        lambda w: {"model": w, "args": argparse.Namespace(lr=0.1), "optimizer": {"state": {}}},
    ],
    ids=["plain", "other_head", "module", "nested", "lightning", "torchvision_references"],
)
def test_files_that_people_have_are_read(tmp_path: Path, wrap: Wrap):
    theirs = torchvision.models.resnet18(num_classes=10)
    torch.save(wrap(theirs.state_dict()), tmp_path / "w.pth")
    found = File(str(tmp_path / "w.pth")).weights(resnet, few_digits(), make_trainer, tmp_path)
    assert found is not None
    backbone = resnet().eval()
    backbone.load_state_dict(found)
    theirs.register_module("fc", nn.Identity())
    pixels = torch.randint(0, 256, (2, 3, 32, 32), dtype=torch.uint8)
    with torch.no_grad():
        assert torch.equal(backbone(pixels), theirs.eval()(pixels / 255))


def test_of_two_networks_in_a_file_the_prefix_chooses(tmp_path: Path):
    student, teacher = torchvision.models.resnet18(), torchvision.models.resnet18()
    torch.save(nn.ModuleDict({"student": student, "teacher": teacher}).state_dict(), tmp_path / "w.pth")
    with pytest.raises(
        GraftError, match=r"source\.prefix must be student or teacher, .*resnet18, got null; try source"
    ):
        File(str(tmp_path / "w.pth")).weights(resnet, few_digits(), make_trainer, tmp_path)
    for prefix, network in [("student", student), ("teacher", teacher)]:
        found = File(str(tmp_path / "w.pth"), prefix=prefix).weights(resnet, few_digits(), make_trainer, tmp_path)
        assert found is not None
        assert torch.equal(found["stages.0.conv1.weight"], network.conv1.weight)


@pytest.mark.slow
@pytest.mark.parametrize(
    "wrap",
    [
        torch.compile,
        nn.DataParallel,
        torch.optim.swa_utils.AveragedModel,
        lambda network: torch.optim.swa_utils.AveragedModel(torch.compile(network)),  # type: ignore[arg-type]
    ],
    ids=["compile", "data_parallel", "ema", "ema_of_compiled"],
)
def test_what_pytorch_wraps_around_a_network_does_not_matter(tmp_path: Path, wrap: Callable):
    network = torchvision.models.resnet18()
    torch.save(wrap(network).state_dict(), tmp_path / "w.pth")
    found = File(str(tmp_path / "w.pth")).weights(resnet, few_digits(), make_trainer, tmp_path)
    assert found is not None
    assert torch.equal(found["stages.4.layer4.1.bn2.running_var"], network.get_buffer("layer4.1.bn2.running_var"))


class Lit(pl.LightningModule):
    def __init__(self):
        super().__init__()
        self.save_hyperparameters({"lr": 0.1, "root": Path("/data"), "decay": np.float64(0.1)})
        self.model = torchvision.models.resnet18()

    def training_step(self, batch, batch_idx):
        return self.model(batch[0]).mean()

    def configure_optimizers(self):
        return torch.optim.SGD(self.parameters(), lr=0.1)


def test_lightning_s_own_checkpoint_is_read(tmp_path: Path):
    trainer = make_trainer(max_epochs=1, logger=False, default_root_dir=tmp_path)
    module = Lit()
    batches = torch.utils.data.DataLoader(torch.utils.data.TensorDataset(torch.rand(2, 3, 32, 32)), 2)
    trainer.fit(module, batches)
    trainer.save_checkpoint(tmp_path / "last.ckpt")
    found = File(str(tmp_path / "last.ckpt")).weights(resnet, few_digits(), make_trainer, tmp_path)
    assert found is not None
    assert torch.equal(found["stages.0.conv1.weight"], module.model.conv1.weight)


def test_weights_of_another_architecture_are_refused_with_names(tmp_path: Path):
    torch.save(torchvision.models.resnet34().state_dict(), tmp_path / "w.pth")
    with pytest.raises(GraftError, match=r"does not match the backbone resnet18: layer1\.2.* is not a weight of this"):
        File(str(tmp_path / "w.pth")).weights(resnet, few_digits(), make_trainer, tmp_path)
    save_file({"a.weight": torch.ones(2)}, tmp_path / "w.safetensors")
    with pytest.raises(GraftError, match=r"stages\.0\.conv1\.weight is missing.*and 97 more; try the backbone"):
        File(str(tmp_path / "w.safetensors")).weights(resnet, few_digits(), make_trainer, tmp_path)


def test_the_input_that_weights_were_trained_on_travels_with_them(tmp_path: Path):
    data = MNIST5k(big=[0, 2], small=[1, 3], test_per_class=250)
    make = functools.partial(CNN, InputSpec("byte", pad=1).preprocess(data.images.shape))
    big().weights(make, data, make_trainer, tmp_path)
    (path,) = (tmp_path / "pretrained").glob("*.safetensors")
    assert File(str(path)).trained_on(CNN.published) == PretrainedInput(30, (0.0,), (1 / 255,))
    torch.save(CNN(DIGIT).state_dict(), tmp_path / "w.pt")
    assert File(str(tmp_path / "w.pt")).trained_on(CNN.published) is None
    assert File("/nowhere.safetensors").trained_on(CNN.published) is None


def test_pre_training_learns_is_done_once_and_does_not_touch_the_global_random_state(tmp_path: Path, fits: list[int]):
    torch.manual_seed(1)
    expected = torch.rand(3)
    torch.manual_seed(1)
    first = big(epochs=2).weights(make_cnn, few_digits(), make_trainer, tmp_path)
    assert torch.equal(torch.rand(3), expected)
    again = big(epochs=2).weights(functools.partial(CNN, DIGIT, keep=1), few_digits(), make_trainer, tmp_path)
    assert len(fits) == 1
    assert first is not None
    assert again is not None
    assert all(torch.equal(first[name], again[name]) for name in first)
    assert first.keys() == CNN(DIGIT).state_dict().keys()


def key(source: Big, network: CNN | None = None, data: MNIST5k | None = None, **flags) -> str:
    return source.key(network or CNN(DIGIT), data or few_digits(), make_trainer(logger=False, **flags))


@pytest.mark.parametrize("settings", [{"batch_size": 500}, {"seed": 1}, {"lr": 1e-2}, {"dropout": 0.1}, {"epochs": 2}])
def test_other_settings_have_another_key(settings: dict):
    assert key(big(**settings)) != key(big())


def test_other_stages_images_or_precision_have_another_key_but_not_another_keep():
    assert key(big(), network=CNN(DIGIT, "tanh")) != key(big())
    assert key(big(), data=MNIST5k(big=[0, 4], small=[1, 3], test_per_class=250)) != key(big())
    assert key(big(), precision="bf16-mixed") != key(big())
    assert key(big(), network=CNN(DIGIT, keep=1)) == key(big())


def test_a_head_of_the_user_s_own_has_another_key_when_its_source_changes(edit: Callable[[str], None]):
    def found() -> str:
        source = big()
        source.head = functools.partial(importlib.import_module("ours").Wide, dropout=0.5)
        return key(source)

    edit("class Wide: size = 1")
    first = found()
    assert first == found() != key(big())
    edit("class Wide: size = 2")
    assert first != found()


def test_a_damaged_file_is_trained_again_to_the_same_weights(tmp_path: Path, fits: list[int]):
    first = big().weights(make_cnn, few_digits(), make_trainer, tmp_path)
    (path,) = (tmp_path / "pretrained").glob("*.safetensors")
    path.write_bytes(path.read_bytes()[:-100])
    torch.rand(1)  # whatever ran before
    second = big().weights(make_cnn, few_digits(), make_trainer, tmp_path)
    assert len(fits) == 2
    assert first is not None
    assert second is not None
    assert all(torch.equal(first[name], second[name]) for name in first)


def test_an_empty_big_split_is_refused(tmp_path: Path):
    with pytest.raises(GraftError, match=r"dataset\.big, which is empty; try source=scratch"):
        big().weights(make_cnn, MNIST5k(big=[], small=[1, 3], test_per_class=9), make_trainer, tmp_path)


def failing(parameters: object, lr: float) -> None:
    raise ValueError("no such rate")


def test_an_optimizer_that_fails_is_told_with_its_key(tmp_path: Path):
    source = big()
    source.optimizer = functools.partial(failing, lr=0.1)  # type: ignore[assignment]
    with pytest.raises(GraftError, match=r"^source\.optimizer\._target_ fails \(ValueError: no such rate in .*line"):
        source.weights(make_cnn, few_digits(), make_trainer, tmp_path)


@pytest.mark.slow
@pytest.mark.parametrize("lr", [1e12, 1e30, float("inf")])
def test_a_pre_training_that_diverges_names_its_own_rate_and_stores_nothing(tmp_path: Path, lr: float):
    source = big(epochs=3, lr=lr)
    for _ in range(2):  # the second time finds nothing of the first
        with pytest.raises(GraftError) as error:
            source.weights(make_cnn, few_digits(), make_trainer, tmp_path)
        assert "the pre-training diverged: its loss or weights became NaN or infinite in epoch" in str(error.value)
        assert f"source.optimizer.lr={lr:g} is too large, try source.optimizer.lr=0.001" in str(error.value)
    assert [path.suffix for path in (tmp_path / "pretrained").iterdir()] == [".lock"]
    assert big().weights(make_cnn, few_digits(), make_trainer, tmp_path) is not None


def test_a_pre_training_whose_last_step_breaks_the_weights_stores_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    fit = Checkpoint.fit

    def broken(self: Checkpoint, trainer: pl.Trainer, transfer: TransferModule, module: TrialDataModule) -> None:
        fit(self, trainer, transfer, module)
        with torch.no_grad():
            next(transfer.stack.parameters()).view(-1)[0] = float("inf")

    monkeypatch.setattr(Checkpoint, "fit", broken)
    with pytest.raises(GraftError, match="diverged"):
        big().weights(make_cnn, few_digits(), make_trainer, tmp_path)
    assert not list(tmp_path.rglob("*.safetensors"))


def test_a_stored_pre_training_of_nan_is_trained_again(tmp_path: Path, fits: list[int]):
    big().weights(make_cnn, few_digits(), make_trainer, tmp_path)
    (path,) = (tmp_path / "pretrained").glob("*.safetensors")
    poisoned = {name: value * float("nan") for name, value in CNN(DIGIT).state_dict().items()}
    write_tensors(path, poisoned)  # as an older version left it
    found = big().weights(make_cnn, few_digits(), make_trainer, tmp_path)
    assert found is not None
    assert all(value.isfinite().all() for value in found.values())
    assert len(fits) == 2


@pytest.mark.parametrize("limit", [{"max_steps": 3}, {"max_time": {"seconds": 0}}])
def test_a_pre_training_that_was_cut_short_is_not_kept(tmp_path: Path, limit: dict):
    source = big(epochs=2)
    assert source.weights(make_cnn, few_digits(), functools.partial(make_trainer, **limit), tmp_path) is not None
    assert source.unseen[0].startswith("the pre-training ")  # which makes the job a trial run
    assert not list(tmp_path.rglob("*.safetensors"))


def test_an_interrupted_pre_training_goes_on_from_its_last_whole_epoch(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    expected = big(epochs=3).weights(make_cnn, few_digits(), make_trainer, tmp_path / "whole")
    monkeypatch.setattr("graft.training.checkpoint.CHECKPOINT_SECONDS", 0.0)
    step = TransferModule.training_step

    def interrupted(self: TransferModule, batch: Batch, batch_idx: int) -> torch.Tensor:
        if self.current_epoch == 1 and batch_idx == 1:
            raise SystemExit(130)  # as after Ctrl-C
        return step(self, batch, batch_idx)

    monkeypatch.setattr(TransferModule, "training_step", interrupted)
    with pytest.raises(SystemExit):
        big(epochs=3).weights(make_cnn, few_digits(), make_trainer, tmp_path)
    monkeypatch.setattr(TransferModule, "training_step", step)
    assert {path.suffix for path in (tmp_path / "pretrained").iterdir()} == {".ckpt", ".lock"}
    found = big(epochs=3).weights(make_cnn, few_digits(), make_trainer, tmp_path)
    assert expected is not None
    assert found is not None
    assert all(torch.equal(found[name], value) for name, value in expected.items())
    assert {path.suffix for path in (tmp_path / "pretrained").iterdir()} == {".lock", ".safetensors"}


def _pretrain(cache: Path, start, fits) -> None:
    fit = pl.Trainer.fit

    def counted(*args, **kwargs):
        fits.put(1)
        return fit(*args, **kwargs)

    pl.Trainer.fit = counted
    start.wait(60)
    big().weights(make_cnn, few_digits(), make_trainer, cache)


def test_two_processes_at_once_train_once(tmp_path: Path):
    context = multiprocessing.get_context("fork")
    torch.set_num_threads(1)
    start, fits = context.Barrier(2), context.Queue()
    workers = [context.Process(target=_pretrain, args=(tmp_path, start, fits)) for _ in range(2)]
    for worker in workers:
        worker.start()
    for worker in workers:
        worker.join(60)
        worker.kill()
    assert [worker.exitcode for worker in workers] == [0, 0]
    assert fits.qsize() == 1


def test_pre_training_sees_no_image_of_the_small_domain_and_its_name_says_which_it_saw(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    table = write_sites(tmp_path).set_index("file")
    read: list[torch.Tensor] = []
    make, names = functools.partial(CNN, Preprocess([1, 12, 12])), []
    for small in ("south", "west", ["south", "west"]):
        data = split(tmp_path, small_domain=small)
        whole = type(data.images).read
        monkeypatch.setattr(
            type(data.images), "read", lambda self, rows, whole=whole: read.append(rows) or whole(self, rows)
        )
        assert big().weights(make, data, make_trainer, tmp_path / "cache") is not None
        monkeypatch.undo()
        seen = files(data, read.pop())
        assert not read
        assert set(table.loc[sorted(seen)]["site"]) == {"north", "south", "west"} - set(
            [small] if small in ("south", "west") else small
        )
        assert not seen & used(data)
        assert BigDataModule(data, 8, 0).train_labels.unique().tolist() == [0, 1]
        names.append({path.name for path in (tmp_path / "cache" / "pretrained").glob("*.safetensors")})
    assert [len(each) for each in names] == [1, 2, 3]
    with pytest.raises(GraftError, match=r"dataset.big_domain, of which no image is left; try source=scratch"):
        big().weights(make, split(tmp_path, small_domain=["north", "south", "west"]), make_trainer, tmp_path / "cache")
