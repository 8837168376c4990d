"""The check of a backbone of the user's own: each image has features, and they do not depend on chance or on others."""

from collections.abc import Callable, Sequence

import torch

from graft.backbones.staged import Backbone
from graft.errors import GraftError
from graft.own_code import built, failure, own_code
from graft.seed import seeded

EXPECTED = "expected is one tensor from each stage, and in the end features of 32 bits, (images, features)"
TOLERANCE = 0.01  # of the features' norm; products of other shapes are rounded otherwise


def checked_backbone(make: Callable[[], Backbone], image: Sequence[int]) -> Backbone:
    """Return a new backbone; one with code of the user's has to give features that can be stored, of each image alone.

    A second backbone with the first one's weights has to give the same features: so does the one that is pre-trained,
    and the one that `predict` builds.

    Args:
        make: makes backbones.
        image: shape of the data set's images, (channels, height, width).

    Raises:
        GraftError: says what the backbone does instead.
    """
    backbone = built(make, "the backbone", "backbone")
    if not any(own_code(type(module).__module__) for module in backbone.modules()):
        return backbone
    _check_parameters(backbone)
    name, size = backbone.label, "x".join(map(str, image))
    failed = None
    try:
        backbone.num_features()
    except Exception as error:  # of the user's code, of any kind; the message is better with the next one's
        failed = error
    with seeded(0, "check"), torch.no_grad():
        pixels = torch.randint(0, 256, (3, *image), dtype=torch.uint8)
        try:
            again = make()
            again.load_state_dict(backbone.state_dict())
            features, others = backbone.eval()(pixels[:2]), again.eval()(pixels[[0, 2]])  # the first beside another one
        except Exception as error:
            if isinstance(failed, GraftError):  # other sizes would do
                raise GraftError(f"{failed} ({failure(error)})") from None
            raise GraftError(f"{name} fails on images of {size} ({failure(error)}); {EXPECTED}") from None
    _check_form(features, name)
    if failed is not None:
        raise GraftError(
            f'{name} fails on PyTorch\'s device "meta", where Graft asks for shapes ({failure(failed)}); its forward '
            "must not look at values (if x.max() > 1), nor leave PyTorch (x.numpy()), and its tensors have to be "
            "parameters or buffers"
        )
    first, again = features[0].detach().nan_to_num(), others[0].detach().nan_to_num()
    if (first - again).norm() > TOLERANCE * first.norm():
        raise GraftError(
            f"{name} gives an image other features each time, beside other images, or in another copy with the same "
            "weights; expected are the same ones, as those of frozen stages are stored, and tests are of each image: "
            "turn off what is random where self.training is false (F.dropout(x, training=self.training)), let no image "
            "depend on its batch, and keep random numbers in parameters or buffers (self.register_buffer)"
        )
    return backbone.train()


def _check_parameters(backbone: Backbone) -> None:
    fixed = [key for key, value in backbone.named_parameters() if not value.requires_grad]
    if fixed:
        raise GraftError(
            f"{backbone.label} has parameters that are not to train ({', '.join(fixed[:3])}), but tune= says which "
            "stages train, all of their parameters; leave out requires_grad=False, or make them buffers"
        )


def _check_form(features: object, name: str) -> None:
    if not isinstance(features, torch.Tensor):
        raise GraftError(f"{name} gives a {type(features).__name__}; {EXPECTED}")
    if features.dtype != torch.float32 or features.dim() != 2 or len(features) != 2 or not features.shape[1]:
        form = f"{str(features.dtype).removeprefix('torch.')} of the shape {tuple(features.shape)}"
        raise GraftError(f"{name} gives {form} for 2 images; {EXPECTED}")
