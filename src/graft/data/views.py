"""Views: stored variations of a data set's images."""

import functools
from collections.abc import Iterator, Sequence

import torch

from graft.data.augment import Augment
from graft.data.images import Images, ImageSource
from graft.files import fingerprint
from graft.seed import stream_seed


class Views(ImageSource):
    """Stored variations of a data set's images: number `view * images + image` is one view of one image.

    The feature store takes it for a data set. A view is drawn by its image and its own number, so that every trial
    and job finds the same ones, and more views are added to those that are there.
    """

    def __init__(self, images: Images, augment: Augment):
        self.images, self.augment = images, augment

    @property
    def shape(self) -> tuple[int, int, int]:
        return self.images.shape

    @functools.cached_property
    def fingerprint(self) -> str:
        return fingerprint(self.images.fingerprint, type(self.augment).__name__, self.augment.settings)

    def numbers(self, images: torch.Tensor, views: int) -> torch.Tensor:
        """Return the numbers of all images' first views, then of all their second ones and so on, (views * images,)."""
        return (len(self.images.labels) * torch.arange(views)[:, None] + images).flatten()

    def batches(self, parts: Sequence[torch.Tensor]) -> Iterator[torch.Tensor]:
        """Make the views of these numbers, for each of some tensors of them."""
        count = len(self.images.labels)
        for part, pixels in zip(parts, self.images.batches([part % count for part in parts]), strict=True):
            streams = [torch.Generator().manual_seed(stream_seed(number, "view")) for number in part.tolist()]
            yield self.augment(pixels, streams)
