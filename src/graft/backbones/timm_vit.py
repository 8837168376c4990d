"""timm's vision transformers in parts that run one after another: tokens, blocks, and the pooling of tokens.

DINOv2, CLIP's, SigLIP's and most other image towers are timm's `VisionTransformer`; EVA and DINOv3 are its `Eva`.
"""

from collections.abc import Sequence
from typing import Any

import torch
from torch import nn

from graft.backbones.pooling import Pool
from graft.backbones.pretrained_timm import timm
from graft.model.stages import has_weights


def is_vit(network: nn.Module) -> bool:
    """Return whether a network can be divided by `vit_parts`."""
    # Learned rotations are used in all blocks, so that they would belong to several stages.
    learned = has_rotations(network) and has_weights(network.get_submodule("rope"))
    return isinstance(network, timm().models.VisionTransformer | timm().models.Eva) and not learned


def has_rotations(network: nn.Module) -> bool:
    """Return whether a network's blocks rotate queries and keys by positions, beside their input."""
    return isinstance(getattr(network, "rope", None), nn.Module)


def divided(network: Any, image: Sequence[int]) -> tuple[int, ...]:
    """Return the largest height and width, up to an image's, that a transformer's patches divide."""
    return tuple(side - side % patch for side, patch in zip(image, network.patch_embed.patch_size, strict=True))


def takes_any_size(model: str) -> bool:
    """Return whether timm makes a network of this name for images of any size that its patches divide."""
    module = timm().models.model_entrypoint(model.partition(".")[0]).__module__
    return module in ("timm.models.vision_transformer", "timm.models.eva")


def vit_parts(network: Any, units: dict[str, nn.Module], pool: str | None) -> tuple[nn.Module, dict[str, nn.Module]]:
    """Return a transformer's first stage, and by path all that follows, up to the features.

    Args:
        network: the transformer.
        units: its modules by path, in order.
        pool: the name of a pooling of tokens in place of its own; None: its own.
    """
    embedding = PatchEmbedding(network)
    first = {name for name, _ in embedding.named_children()} | {"rope"}
    names = [name for name in units if name not in first]
    last = names.index("norm")
    rest = {name: units[name] for name in names[: last + 1]}
    prefix, after = network.num_prefix_tokens, names[last + 1 :]
    if pool is None:
        included = getattr(network, "pool_include_prefix", network.global_pool == "map")
        rest["pool"] = TokenPool(network.global_pool, prefix, included)
    else:
        rest["pool"] = Pool(pool, prefix, network.cls_token is not None)
        after = [name for name in after if name != "attn_pool"]
    return embedding, rest | {name: units[name] for name in after}


class PatchEmbedding(nn.Module):
    """A ViT's first stage: images become tokens, with prefix tokens before them and their positions added.

    timm has it only inside the network's forward pass; parameters and submodules keep their names.

    Args:
        network: the ViT.
    """

    def __init__(self, network: Any):
        super().__init__()
        self.cls_token, self.reg_token, self.pos_embed = network.cls_token, network.reg_token, network.pos_embed
        self.patch_embed, self.pos_drop = network.patch_embed, network.pos_drop
        self.patch_drop, self.norm_pre = network.patch_drop or nn.Identity(), network.norm_pre
        # Of the prefix tokens (class token, registers) either all have a position or none has.
        self.num_prefix_positions = 0 if network.no_embed_class else network.num_prefix_tokens

    def forward(self, images: torch.Tensor) -> torch.Tensor:
        tokens, positions = self.patch_embed(images), self.pos_embed  # tokens: (batch, patches, features)
        if tokens.dim() == 4:  # (batch, height, width, features), from a network that takes images of any size
            positions = self._resized(positions, tokens.shape[1:3])
            tokens = tokens.flatten(1, 2)
        if positions is not None and not self.num_prefix_positions:
            tokens = tokens + positions
        prefix = [
            token.expand(tokens.shape[0], -1, -1) for token in (self.cls_token, self.reg_token) if token is not None
        ]
        tokens = torch.cat([*prefix, tokens], dim=1)
        if positions is not None and self.num_prefix_positions:
            tokens = tokens + positions
        return self.norm_pre(self.patch_drop(self.pos_drop(tokens)))

    def _resized(self, positions: torch.Tensor | None, grid: Sequence[int]) -> torch.Tensor | None:
        """Interpolate the patches' positions to a grid of this height and width."""
        if positions is None:
            return None
        old_grid = self.patch_embed.grid_size
        return timm().layers.resample_abs_pos_embed(positions, list(grid), old_grid, self.num_prefix_positions)


class RotatedBlocks(nn.Sequential):
    """Blocks that rotate queries and keys by their tokens' positions.

    Args:
        blocks: timm's, by name.
        rotations: sines and cosines of all positions, (positions, ...), the same for all blocks.
    """

    rotations: torch.Tensor

    def __init__(self, blocks: dict[str, nn.Module], rotations: torch.Tensor):
        super().__init__()
        for name, block in blocks.items():
            self.add_module(name, block)
        self.register_buffer("rotations", rotations, persistent=False)  # it follows from the images' size

    def forward(self, input: torch.Tensor) -> torch.Tensor:
        for block in self:
            input = block(input, rope=self.rotations)
        return input


def with_rotations(network: Any, stages: Sequence[nn.Module], image: Sequence[int]) -> list[nn.Module]:
    """Return stages whose blocks get the rotations of the network's positions.

    Args:
        network: the transformer.
        stages: its stages without rotations, each with its blocks in a container `blocks`.
        image: height and width of the images.
    """
    grid = network.patch_embed.dynamic_feat_size(tuple(image))
    rotations = network.rope.get_embed(shape=grid).detach()
    for stage in stages:
        if hasattr(stage, "blocks"):
            inner: Any = stage.get_submodule("blocks")
            stage.blocks = RotatedBlocks(dict(inner.named_children()), rotations)
    return list(stages)


class TokenPool(nn.Module):
    """timm's pooling of tokens, (batch, tokens, features) to (batch, features).

    Args:
        pool: timm's name; `map` leaves the tokens to the attention layer that follows.
        prefix: number of tokens before those of the patches.
        include_prefix: whether they are pooled, too.
    """

    def __init__(self, pool: str, prefix: int, include_prefix: bool = False):
        super().__init__()
        self.kind, self.prefix, self.include_prefix = pool, prefix, include_prefix

    def forward(self, tokens: torch.Tensor) -> torch.Tensor:
        if self.kind == "map":
            return tokens if self.include_prefix else tokens[:, self.prefix :]
        return timm().layers.global_pool_nlc(tokens, self.kind, self.prefix, self.include_prefix)

    def extra_repr(self) -> str:
        return f"{self.kind}, prefix={self.prefix}" + (", included" if self.include_prefix else "")
