"""Augmentation: random variations of images, each drawn from its trial's random stream.

torchvision's transforms draw one random number per call, so a batch would have to pass image by image. Here geometric
changes are one sampling grid per image and a single `grid_sample` for the batch (60 digits: 1.8 ms instead of 18 ms
through `v2.RandomAffine` image by image; tests/benchmarks/augment.py, 1 thread, 2026-11-24).
"""

import math
from abc import ABC, abstractmethod
from collections.abc import Callable, Sequence
from typing import NamedTuple

import torch
from torch.nn.functional import affine_grid, grid_sample, interpolate
from torchvision.transforms import v2
from torchvision.transforms.v2.functional import rgb_to_grayscale


class Augment(ABC):
    """Augmentation of the training images, and optionally of the final evaluation's images.

    Args:
        views: number of stored variations ("views") of each image: the frozen stages see each once, and every trial
            draws from the same ones. None: new variations at each step, which pass through the frozen stages then.
        test_views: test-time augmentation: number of views, the original included, whose predictions are averaged;
            None: off.

    Attributes:
        settings: all settings that a variation depends on.
        pixel: side of a file's pixel in the images; above 1 where they are enlarged first.
    """

    settings: dict[str, object]
    pixel: float = 1.0

    def __init__(self, views: int | None = None, test_views: int | None = None):
        self.views, self.test_views = views, test_views

    def __call__(self, images: torch.Tensor, generators: Sequence[torch.Generator]) -> torch.Tensor:
        """Augment images, (batch, channels, height, width) with pixels from 0 to 255, bytes or floats.

        Args:
            images: as many for each generator, one generator's after the other's.
            generators: random streams of these groups of images, on the images' device.

        Returns:
            Images of the same range, floats; larger ones only from `Enlarged`.
        """
        return self.augment(images.float(), generators).clamp_(0, 255)

    @abstractmethod
    def augment(self, images: torch.Tensor, generators: Sequence[torch.Generator]) -> torch.Tensor:
        """Augment float images; the caller clamps values outside 0 to 255."""


def none() -> None:
    """Leave the training images as they are."""


class Chance(NamedTuple):
    """An image's random numbers, uniform from 0 to 1, in the order of their drawing; each is (batch,)."""

    rotate: torch.Tensor
    scale: torch.Tensor
    shear: torch.Tensor
    right: torch.Tensor
    down: torch.Tensor
    flip: torch.Tensor
    brightness: torch.Tensor
    contrast: torch.Tensor
    saturation: torch.Tensor
    erase: torch.Tensor
    area: torch.Tensor  # of the erased rectangle, like the following
    ratio: torch.Tensor
    top: torch.Tensor
    left: torch.Tensor


class Distort(Augment):
    """Random rotation, shift, scaling, shear, mirroring, bending, color change, noise and erasing.

    Args:
        rotate: largest rotation either way, in degrees.
        translate: largest shift either way, as a fraction of height and width.
        scale: largest change of size either way, as a fraction.
        shear: largest horizontal shear either way, in degrees.
        flip: probability of a horizontal flip.
        elastic: standard deviation of a smooth random displacement, in pixels of the files.
        smoothness: distance between the nodes of that displacement, in pixels of the files.
        colour: largest change of brightness, contrast and saturation either way, as a fraction.
        noise: standard deviation of Gaussian noise in each pixel of the files, as a fraction of the pixel range.
        erase: probability of a black rectangle over 2 to 20 % of the image.
        fill: pixels outside the image: `zeros`, `border` or `reflection`.
        views, test_views: see `Augment`.
    """

    def __init__(
        self,
        rotate: float = 0.0,
        translate: float = 0.0,
        scale: float = 0.0,
        shear: float = 0.0,
        flip: float = 0.0,
        elastic: float = 0.0,
        smoothness: int = 7,
        colour: float = 0.0,
        noise: float = 0.0,
        erase: float = 0.0,
        fill: str = "zeros",
        views: int | None = None,
        test_views: int | None = None,
    ):
        super().__init__(views, test_views)
        self.rotate, self.translate, self.scale, self.shear, self.flip = rotate, translate, scale, shear, flip
        self.elastic, self.smoothness, self.colour, self.noise, self.erase = elastic, smoothness, colour, noise, erase
        self.fill = fill
        self.settings = {name: value for name, value in vars(self).items() if name not in ("views", "test_views")}

    def augment(self, images: torch.Tensor, generators: Sequence[torch.Generator]) -> torch.Tensor:
        # All numbers are drawn whatever is switched on, so that one setting does not change the others'.
        chance = Chance(*_draw(torch.rand, [len(images), len(Chance._fields)], generators).unbind(1))
        file = [round(side / self.pixel) for side in images.shape[2:]]  # its height and width
        if any((self.rotate, self.translate, self.scale, self.shear, self.flip, self.elastic)):
            grid = self._affine(chance, images.shape)
            if self.elastic:
                grid = grid + self._elastic(images.shape, file, generators)
            images = grid_sample(images, grid, mode="bilinear", padding_mode=self.fill, align_corners=False)
        if self.colour:
            changes = (chance.brightness, chance.contrast, chance.saturation)
            images = _change_color(images, *(1 + self.colour * _either_way(change) for change in changes))
        if self.noise:
            noise = _draw(torch.randn, [*images.shape[:2], *file], generators)
            images = images + 255 * self.noise * interpolate(noise, images.shape[2:])
        if self.erase:
            images = images * ~self._erased(chance, images.shape)
        return images

    def _affine(self, chance: Chance, shape: torch.Size) -> torch.Tensor:
        """Return the point of the image that each output pixel shows, (batch, height, width, 2), for `grid_sample`.

        In pixels right and down from the center, the output pixel p shows the point q = M z R S p + t of the image:

            M = [m 0]    R = [cos a  -sin a]    S = [1 s]    t = [W x]
                [0 1]        [sin a   cos a]        [0 1]        [H y]

        m is -1 for mirrored images, else 1; z = 1 / (1 + change of size), since the map goes from output to image;
        a is the angle, s the tangent of the shear's angle; W and H are width and height, x and y the shift's fractions.
        `affine_grid` measures in half widths and heights instead: with N = diag(W / 2, H / 2), its matrix is
        [N^-1 (M z R S) N | N^-1 t], which multiplies the entry of M z R S at the upper right by H / W, the one at the
        lower left by W / H, and turns t into (2 x, 2 y).
        """
        _, _, height, width = shape
        aspect = height / width
        angle = math.radians(self.rotate) * _either_way(chance.rotate)
        shear = torch.tan(math.radians(self.shear) * _either_way(chance.shear))
        shrink = 1 / (1 + self.scale * _either_way(chance.scale))
        mirror = 1 - 2 * (chance.flip < self.flip).float()
        right, down = (2 * self.translate * _either_way(shift) for shift in (chance.right, chance.down))
        cos, sin = shrink * angle.cos(), shrink * angle.sin()  # the entries of z R, (batch,)
        first = torch.stack([mirror * cos, mirror * (shear * cos - sin) * aspect, right], 1)
        second = torch.stack([sin / aspect, shear * sin + cos, down], 1)
        matrices = torch.stack([first, second], 1)  # (batch, 2, 3)
        return affine_grid(matrices, list(shape), align_corners=False)

    def _elastic(self, shape: torch.Size, file: list[int], generators: Sequence[torch.Generator]) -> torch.Tensor:
        """Return each pixel's displacement, interpolated between Gaussian nodes of a file; as in `_affine`."""
        batch, _, height, width = shape
        nodes = [max(2, math.ceil(side / self.smoothness)) for side in file]
        field = _draw(torch.randn, [batch, 2, *nodes], generators)
        field = interpolate(field, (height, width), mode="bicubic", align_corners=True)
        pixel = field.new_tensor([2 / width, 2 / height])
        return self.elastic * self.pixel * pixel * field.permute(0, 2, 3, 1)

    def _erased(self, chance: Chance, shape: torch.Size) -> torch.Tensor:
        """Return a mask of each image's erased rectangle, (batch, 1, height, width); it may be empty."""
        area = 0.02 + 0.18 * chance.area
        ratio = torch.exp(math.log(3) * _either_way(chance.ratio))  # of its height to its width, 1/3 to 3
        rows = _within(shape[2], (area * ratio).sqrt(), chance.top)
        columns = _within(shape[3], (area / ratio).sqrt(), chance.left)
        erased = chance.erase < self.erase
        return (erased[:, None, None] & rows[:, :, None] & columns[:, None, :])[:, None]


def _draw(
    function: Callable[..., torch.Tensor], shape: Sequence[int], generators: Sequence[torch.Generator]
) -> torch.Tensor:
    """Draw numbers of a shape (batch, ...) by torch.rand or torch.randn, each group of images from its generator."""
    group = shape[0] // len(generators)
    return torch.cat([function(group, *shape[1:], generator=random, device=random.device) for random in generators])


def _either_way(chance: torch.Tensor) -> torch.Tensor:
    """Map 0 to 1 onto -1 to 1."""
    return 2 * chance - 1


def _within(length: int, size: torch.Tensor, start: torch.Tensor) -> torch.Tensor:
    """Return which pixels of an axis lie in each image's interval, (batch, length).

    Each interval has a size, as a fraction of the axis, and a start, from 0 (first pixel) to 1 (as late as it fits).
    """
    place = torch.arange(length, device=size.device) / length
    low = (start * (1 - size))[:, None]
    return (place >= low) & (place < low + size[:, None])


def _change_color(
    images: torch.Tensor, brightness: torch.Tensor, contrast: torch.Tensor, saturation: torch.Tensor
) -> torch.Tensor:
    """Change brightness, contrast and saturation by factors, (batch,) each, with torchvision's definitions."""
    brightness, contrast, saturation = (factor[:, None, None, None] for factor in (brightness, contrast, saturation))
    images = (brightness * images).clamp(0, 255)
    if images.shape[1] == 3:
        mean = rgb_to_grayscale(images).mean((1, 2, 3), keepdim=True)
        images = torch.lerp(mean, images, contrast).clamp(0, 255)
        return torch.lerp(rgb_to_grayscale(images), images, saturation)
    return torch.lerp(images.mean((1, 2, 3), keepdim=True), images, contrast)


class RandAugment(Augment):
    """torchvision's RandAugment (Cubuk et al. 2020), image by image, after a random flip.

    Args:
        num_ops: number of operations applied to each image.
        magnitude: strength of the operations, from 0 to 30.
        flip: probability of a horizontal flip.
        views, test_views: see `Augment`.
    """

    def __init__(
        self,
        num_ops: int = 2,
        magnitude: int = 9,
        flip: float = 0.5,
        views: int | None = None,
        test_views: int | None = None,
    ):
        super().__init__(views, test_views)
        self.settings = {"num_ops": num_ops, "magnitude": magnitude, "flip": flip}
        self.transform = v2.Compose([v2.RandomHorizontalFlip(flip), v2.RandAugment(num_ops, magnitude)])

    def augment(self, images: torch.Tensor, generators: Sequence[torch.Generator]) -> torch.Tensor:
        augmented = []
        for group, random in zip(images.round().byte().chunk(len(generators)), generators, strict=True):
            # torchvision draws from the global stream, and on the CPU.
            seed = torch.randint(2**62, (), generator=random, device=random.device)
            with torch.random.fork_rng(devices=[]):
                torch.default_generator.manual_seed(int(seed))
                augmented += [self.transform(image) for image in group]
        return torch.stack(augmented).float()
