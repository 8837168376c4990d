"""Views: stored variations of a data set's images; and the check of an augmentation of the user's own."""

import functools
from collections.abc import Iterator, Sequence

import torch

from graft.data.augment import Augment
from graft.data.images import Images, ImageSource
from graft.data.preprocess import Enlarged
from graft.errors import GraftError
from graft.files import comparable, fingerprint
from graft.own_code import failure, own_code
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
    def as_read(self) -> str:
        own: list[object] = []
        if code := own_code(self.kind.__module__):  # its class may have settings besides those
            changes = self.augment.changes if isinstance(self.augment, Enlarged) else self.augment
            further = {name: value for name, value in vars(changes).items() if name not in ("views", "test_views")}
            own = [code, comparable(further)]
        return fingerprint(self.images.as_read, self.kind.__name__, self.augment.settings, *own)

    def indices(self, images: torch.Tensor, num_views: int) -> torch.Tensor:
        """Return the indices of the images' first views, then of their second ones and so on, (num_views * images,)."""
        return (len(self.images.labels) * torch.arange(num_views)[:, None] + images).flatten()

    def batches(self, parts: Sequence[torch.Tensor]) -> Iterator[torch.Tensor]:
        """Make views, floats from 0 to 255 (batch, channels, height, width), for each tensor of their indices."""
        num_images = len(self.images.labels)
        for part, pixels in zip(parts, self.images.batches([part % num_images for part in parts]), strict=True):
            streams = [torch.Generator().manual_seed(stream_seed(index, "view")) for index in part.tolist()]
            yield self.augment(pixels, streams)


def checked_augment(augment: object, image: Sequence[int]) -> Augment | None:
    """Return an augmentation; one with code of the user's has to draw from its generators, and give images again.

    Args:
        augment: what the configuration has built; None: there is none.
        image: shape of the data set's images, (channels, height, width).

    Raises:
        GraftError: says what it does instead.
    """
    if augment is None:
        return None
    name = f"{type(augment).__module__}.{type(augment).__qualname__}"
    if not isinstance(augment, Augment):
        raise GraftError(
            f"augment._target_ gives a {name}; expected is a subclass of graft.data.augment.Augment, whose method "
            "augment may call a torchvision transform as RandAugment there does"
        )
    if not own_code(type(augment).__module__):
        return augment
    expected = "expected are float32 images of the same shape, with finite pixels from 0 to 255"
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        images = torch.randint(0, 256, (4, *image), dtype=torch.uint8)
        try:
            both, alone = (
                augment(images[2 * begin :], [torch.Generator().manual_seed(seed) for seed in (1, 2)[begin:]])
                for begin in (0, 1)
            )
        except Exception as error:  # of the user's code, of any kind
            raise GraftError(f"{name} fails ({failure(error)}); {expected}") from None
    form = f"{str(both.dtype).removeprefix('torch.')} of the shape {tuple(both.shape)}"
    if both.shape != images.shape or both.dtype != torch.float32:
        raise GraftError(f"{name} gives {form} for {len(images)} images of {tuple(image)}; {expected}")
    if not both.isfinite().all() or both.max() <= 1:
        raise GraftError(f"{name} gives pixels up to {both.max():g} for images of 0 to 255; {expected}")
    if not torch.allclose(both[2:], alone, atol=0.01):
        raise GraftError(
            f"{name} gives a trial other images beside other trials, or each time; expected are the same ones for the "
            "same generators: draw random numbers with generator=, or as graft.data.augment.RandAugment seeds "
            "torchvision's, which draw from the global stream"
        )
    return augment
