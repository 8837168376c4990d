"""Augmentation: variations of training images, each image's own, drawn from its trial's random stream.

torchvision's transforms draw one random number for a whole batch, so that images would have to pass one by one. What
moves pixels is therefore one sampling grid for each image and a single `grid_sample` for the batch (60 digits:
1.8 ms instead of 18 ms through `v2.RandomAffine` one by one; tests/benchmarks/augment.py, 1 thread, 2026-11-24);
colours are blends with a factor for each image.
"""

import math
from abc import ABC, abstractmethod
from collections.abc import Sequence

import torch
from torch.nn.functional import affine_grid, grid_sample, interpolate
from torchvision.transforms import v2
from torchvision.transforms.v2.functional import rgb_to_grayscale


class Augment(ABC):
    """What is done to training images, and where.

    Args:
        views: None varies the images anew at each step, before the frozen stages; a number stores what the frozen
            stages make of so many variations of each image, the same for every trial, which draws from them.
        test_views: from how many views of an image the final evaluation predicts, itself among them; None: itself.

    Attributes:
        settings: all that the variations depend on.
    """

    settings: dict[str, object]

    def __init__(self, views: int | None = None, test_views: int | None = None):
        self.views, self.test_views = views, test_views

    def __call__(self, images: torch.Tensor, generators: Sequence[torch.Generator]) -> torch.Tensor:
        """Vary images, (batch, channels, height, width) with pixels from 0 to 255, bytes or floats.

        Args:
            images: equally many in a row for each generator.
            generators: random numbers of each such row, on the images' device.

        Returns:
            Images of the same shape and range, floats.
        """
        return self.vary(images.float(), generators).clamp_(0, 255)

    @abstractmethod
    def vary(self, images: torch.Tensor, generators: Sequence[torch.Generator]) -> torch.Tensor:
        """Do so with floats, and perhaps leave the range."""


def none() -> None:
    """Leave the training images as they are."""


class Distort(Augment):
    """Moves, bends, recolours and erases images by random amounts within these bounds.

    Args:
        rotate: largest angle either way, in degrees.
        translate: largest shift either way, as a fraction of height and width.
        scale: largest change of size either way, as a fraction.
        shear: largest horizontal shear either way, in degrees.
        flip: probability of a horizontal flip.
        elastic: standard deviation of a smooth field that bends the image, in pixels.
        smoothness: pixels between two nodes of that field.
        colour: largest change of brightness, contrast and saturation either way, as a fraction.
        noise: standard deviation of Gaussian noise, as a fraction of the range of pixels.
        erase: probability that a rectangle of 2 to 20 % of the image becomes black.
        fill: what lies outside the image: `zeros`, `border` or `reflection`.
        views: as `Augment` says.
        test_views: as `Augment` says.
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

    def vary(self, images: torch.Tensor, generators: Sequence[torch.Generator]) -> torch.Tensor:
        each = len(images) // len(generators)

        def draw(function, *shape: int) -> torch.Tensor:  # (batch, *shape), each row from its own stream
            return torch.cat([function(each, *shape, generator=own, device=own.device) for own in generators])

        chance = draw(torch.rand, 14)
        images = self._move(images, chance[:, :6], draw)
        if self.colour:
            images = _blend(images, 1 + self.colour * (2 * chance[:, 6:9] - 1))
        if self.noise:
            images = images + 255 * self.noise * draw(torch.randn, *images.shape[1:])
        if self.erase:
            images = images * ~self._erased(images, chance[:, 9:])
        return images

    def _move(self, images: torch.Tensor, chance: torch.Tensor, draw) -> torch.Tensor:
        if not any((self.rotate, self.translate, self.scale, self.shear, self.flip, self.elastic)):
            return images
        _, _, height, width = images.shape
        angle, zoom, shear, right, down, _ = (2 * chance - 1).unbind(1)
        angle = math.radians(self.rotate) * angle
        shear = torch.tan(math.radians(self.shear) * shear)
        zoom = 1 / (1 + self.scale * zoom)  # where a pixel comes from: the inverse of where it goes
        mirror = 1 - 2 * (chance[:, 5] < self.flip).float()
        aspect = height / width
        cos, sin = zoom * angle.cos(), zoom * angle.sin()
        first = torch.stack([mirror * cos, mirror * (shear * cos - sin) * aspect, 2 * self.translate * right], 1)
        second = torch.stack([sin / aspect, shear * sin + cos, 2 * self.translate * down], 1)
        grid = affine_grid(torch.stack([first, second], 1), list(images.shape), align_corners=False)
        if self.elastic:
            nodes = [max(2, math.ceil(side / self.smoothness)) for side in (height, width)]
            field = interpolate(draw(torch.randn, 2, *nodes), (height, width), mode="bicubic", align_corners=True)
            pixel = field.new_tensor([2 / width, 2 / height])
            grid = grid + self.elastic * pixel * field.permute(0, 2, 3, 1)
        return grid_sample(images, grid, mode="bilinear", padding_mode=self.fill, align_corners=False)

    def _erased(self, images: torch.Tensor, chance: torch.Tensor) -> torch.Tensor:
        """Return where each image's rectangle lies, (batch, 1, height, width)."""
        area = 0.02 + 0.18 * chance[:, 1]
        ratio = torch.exp(math.log(3) * (2 * chance[:, 2] - 1))  # of its height to its width, 1/3 to 3
        inside = (chance[:, 0] < self.erase)[:, None, None]
        for axis, side, start in ((1, (area * ratio).sqrt(), chance[:, 3]), (2, (area / ratio).sqrt(), chance[:, 4])):
            place = torch.arange(images.shape[axis + 1], device=images.device) / images.shape[axis + 1]
            low = (start * (1 - side))[:, None]
            inside = inside & ((place >= low) & (place < low + side[:, None])).unsqueeze(3 - axis)
        return inside[:, None]


def _blend(images: torch.Tensor, factors: torch.Tensor) -> torch.Tensor:
    """Change brightness, contrast and saturation by each image's three factors, as torchvision defines them."""
    brightness, contrast, saturation = factors[:, :, None, None, None].unbind(1)
    images = (brightness * images).clamp(0, 255)
    if images.shape[1] == 3:
        mean = rgb_to_grayscale(images).mean((1, 2, 3), keepdim=True)
        images = torch.lerp(mean, images, contrast).clamp(0, 255)
        return torch.lerp(rgb_to_grayscale(images), images, saturation)
    return torch.lerp(images.mean((1, 2, 3), keepdim=True), images, contrast)


class RandAugment(Augment):
    """torchvision's RandAugment (Cubuk et al. 2020), image by image, after a random flip.

    Args:
        num_ops: how many of its operations an image goes through.
        magnitude: their strength, from 0 to 30.
        flip: probability of a horizontal flip.
        views: as `Augment` says.
        test_views: as `Augment` says.
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

    def vary(self, images: torch.Tensor, generators: Sequence[torch.Generator]) -> torch.Tensor:
        varied = []
        for row, own in zip(images.round().byte().chunk(len(generators)), generators, strict=True):
            # torchvision draws from the global stream, and on the CPU.
            seed = torch.randint(2**62, (), generator=own, device=own.device)
            with torch.random.fork_rng(devices=[]):
                torch.default_generator.manual_seed(int(seed))
                varied += [self.transform(image) for image in row]
        return torch.stack(varied).float()
