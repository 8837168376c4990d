"""Plain PyTorch loops that know nothing of Graft's trial axis, store or Lightning, to compare jobs with."""

import copy
from collections.abc import Callable
from pathlib import Path

import torch
from safetensors.torch import load_file
from torch import nn

from graft.backbones.backbone import CNN
from graft.data.dataset import MNIST5k
from graft.data.images import InMemoryImages
from graft.data.preprocess import Preprocess
from graft.files import read_tensors
from graft.heads.head import Plain
from graft.seed import generator, seeded


def by_hand(
    digits: MNIST5k, seed: int, network: nn.Sequential, epochs: int, lr: float = 1e-3, lr_factor: float = 1.0
) -> tuple[nn.Sequential, float]:
    """Train one trial as anyone would, its stages at `lr_factor` times the head's rate.

    Returns:
        Its network and test accuracy.
    """
    assert isinstance(digits.images, InMemoryImages)
    pixels, labels = digits.images.pixels.float() / 255, digits.images.labels // 2  # 1,3,5,7,9 are classes 0 to 4
    train, _ = digits.sample(seed)
    parts = [(network[0], lr * lr_factor), (network[1:], lr)]
    groups = [{"params": [p for p in part.parameters() if p.requires_grad], "lr": rate} for part, rate in parts]
    optimizer = torch.optim.Adam(groups, eps=1e-7)
    order = generator(seed, "order")
    for _ in range(epochs):
        for batch in train[torch.randperm(len(train), generator=order)].split(4):
            loss = nn.functional.cross_entropy(network(pixels[batch]), labels[batch])
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
    with torch.no_grad():
        right = network(pixels[digits.test]).argmax(1) == labels[digits.test]
    return network, right.float().mean().item()


def stopped_by_hand(
    digits: MNIST5k, seed: int, network: nn.Sequential, epochs: int, patience: int | None, best: bool, lr: float = 1e-3
) -> tuple[dict[str, torch.Tensor], int, int]:
    """Train one trial with early stopping by its validation loss, as anyone would.

    Returns:
        The weights with which it ends, the epoch that they are of, and the last one that it trained for.
    """
    assert isinstance(digits.images, InMemoryImages)
    pixels, labels = digits.images.pixels.float() / 255, digits.images.labels // 2
    train, val = digits.sample(seed)
    optimizer = torch.optim.Adam((p for p in network.parameters() if p.requires_grad), lr=lr, eps=1e-7)
    order, lowest, kept, since = generator(seed, "order"), float("inf"), (copy.deepcopy(network.state_dict()), 0), 0
    for epoch in range(1, epochs + 1):
        for batch in train[torch.randperm(len(train), generator=order)].split(4):
            optimizer.zero_grad()
            nn.functional.cross_entropy(network(pixels[batch]), labels[batch]).backward()
            optimizer.step()
        with torch.no_grad():
            loss = nn.functional.cross_entropy(network(pixels[val]), labels[val]).item()
        since = 0 if loss < lowest else since + 1
        if not best or loss < lowest:
            kept = copy.deepcopy(network.state_dict()), epoch
        lowest = min(loss, lowest)
        if since == patience:
            return *kept, epoch
    return *kept, epochs


def frozen_network(cache: Path, seed: int, head: Callable[[], nn.Module]) -> nn.Sequential:
    (path,) = (cache / "pretrained").glob("*.safetensors")
    backbone = CNN(Preprocess([1, 28, 28]))
    backbone.load_state_dict(load_file(path))
    with seeded(seed, "head"):
        return nn.Sequential(nn.Sequential(*backbone.stages).requires_grad_(False), nn.Flatten(), head())


def scratch_network(seed: int) -> nn.Sequential:
    with seeded(seed, "backbone"):
        stages = CNN(Preprocess([1, 28, 28])).stages
    with seeded(seed, "head"):
        return nn.Sequential(nn.Sequential(*stages), nn.Flatten(), Plain(1600, 5))


def trained(folder: Path) -> dict[str, torch.Tensor]:
    tensors = read_tensors(folder / "weights.safetensors")
    assert tensors is not None
    return {name.removeprefix("trials."): value for name, value in tensors.items() if name.startswith("trials.")}
