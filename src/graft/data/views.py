"""Views: stored variations of a data set's images."""

import functools
from collections.abc import Iterator, Sequence

import torch

from graft.data.augment import Augment
from graft.data.images import Images, ImageSource
from graft.data.preprocess import Enlarged
from graft.errors import GraftError
from graft.files import fingerprint
from graft.own_code import own_code
from graft.seed import stream_seed


class Views(ImageSource):
    """Augmented views of a data set's images, which the feature store reads like a data set.

    Index `view * num_images + image` is one view of one image. The index alone seeds the augmentation, so all trials
    and jobs get the same views, and raising their number keeps the stored ones.

    Args:
        images: the data set.
        augment: the augmentation that makes the views.

    Attributes:
        kind: the augmentation's class; of `Enlarged` that of the augmentation in it.
    """

    def __init__(self, images: Images, augment: Augment):
        self.kind = type(augment.changes if isinstance(augment, Enlarged) else augment)
        if not hasattr(augment, "settings"):
            raise GraftError(
                f"{self.kind.__name__}, an augmentation, has no attribute settings, the dictionary of all that its "
                "views depend on, by which stored ones are found again; try augment.views=null augment.test_views=null"
            )
        self.images, self.augment = images, augment

    @property
    def shape(self) -> tuple[int, int, int]:
        channels, *sides = self.images.shape
        height, width = self.augment.preprocess.resized if isinstance(self.augment, Enlarged) else sides
        return channels, height, width

    @functools.cached_property
    def fingerprint(self) -> str:
        own = own_code(self.kind.__module__)  # of a class of the user's own
        return fingerprint(self.images.as_read, self.kind.__name__, self.augment.settings, *([own] if own else []))

    def indices(self, images: torch.Tensor, num_views: int) -> torch.Tensor:
        """Return the indices of the images' first views, then of their second ones and so on, (num_views * images,)."""
        return (len(self.images.labels) * torch.arange(num_views)[:, None] + images).flatten()

    def batches(self, parts: Sequence[torch.Tensor]) -> Iterator[torch.Tensor]:
        """Make views, floats from 0 to 255 (batch, channels, height, width), for each tensor of their indices."""
        num_images = len(self.images.labels)
        for part, pixels in zip(parts, self.images.batches([part % num_images for part in parts]), strict=True):
            streams = [torch.Generator().manual_seed(stream_seed(index, "view")) for index in part.tolist()]
            yield self.augment(pixels, streams)
