"""The check of a head of the user's own: each image has logits, which its saved weights alone give again."""

from collections.abc import Callable
from itertools import chain

import torch
from torch import nn
from torch.nn.parameter import is_lazy

from graft import public_name
from graft.errors import GraftError
from graft.own_code import built, failure, own_code

TOLERANCE = 0.01  # of the logits' norm; products of other shapes are rounded otherwise
CREATE = "in its first pass, after the optimizer has got the parameters, and trials are stacked; create all in __init__"


def checked_head(
    make: Callable[[], nn.Module], target: Callable, num_features: int, num_classes: int
) -> Callable[[], nn.Module]:
    """Return what makes a head; one with code of the user's has to give logits, those that its weights say.

    A second head with the first one's weights has to give an image the same logits, beside another image: so does the
    one that `predict` builds, and so do those that train side by side, which share all but parameters and buffers.

    Args:
        make: makes heads.
        target: the class or function that makes them, or a partial call of it.
        num_features: length of the features that come in.
        num_classes: number of logits that have to come out.

    Raises:
        GraftError: says what the head does instead.
    """
    target = getattr(target, "func", target)
    name = public_name(target)
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        head = _made(make, name)
        if not any(map(own_code, {target.__module__, *(type(each).__module__ for each in head.modules())})):
            return make
        if not isinstance(target, type):
            raise GraftError(f"{name} is no class; expected is a class of torch.nn.Module, which predict.py may build")
        _check_parameters(head, name)
        trained, logits, others = _passes(head, _made(make, name), name, torch.rand(3, num_features), num_classes)
    if any(True for _ in head.parameters()) and not trained.requires_grad:
        raise GraftError(f"{name} gives logits without a gradient, so that it cannot train; leave out detach()")
    first, second = logits[0].nan_to_num(), others[0].nan_to_num()
    if (first - second).norm() > TOLERANCE * first.norm():
        raise GraftError(
            f"{name} gives an image other logits each time, beside other images, or in another copy with the same "
            "weights; expected are the same ones, which predict.py has to find again: turn off what is random where "
            "self.training is false (F.dropout(x, training=self.training)), let no image depend on its batch, and keep "
            "random numbers, and all that training changes, in parameters or buffers (self.register_buffer)"
        )
    return make


def _passes(
    head: nn.Module, again: nn.Module, name: str, features: torch.Tensor, num_classes: int
) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
    """Return the logits of a training step, and those that the head and then its copy give in evaluation."""
    expected = f"expected are logits, ({len(features)}, {num_classes}), for features, {tuple(features.shape)}"
    names = set(head.state_dict())
    try:
        trained = head.train()(features.clone())
        if added := sorted(set(head.state_dict()) - names):
            raise GraftError(f"{name} creates {', '.join(added)} {CREATE}")
        again.load_state_dict(head.state_dict())
        with torch.no_grad():
            logits, others = head.eval()(features.clone()), again.eval()(features[[0, 2]])
    except GraftError:
        raise
    except Exception as error:  # of the user's code, of any kind
        raise GraftError(f"{name} fails ({failure(error)}); {expected}") from None
    for each, count in ((trained, len(features)), (logits, len(features)), (others, 2)):
        _check_logits(each, (count, num_classes), name, expected)
    return trained, logits, others


def _made(make: Callable[[], nn.Module], name: str) -> nn.Module:
    head = built(make, name, "head")
    if not isinstance(head, nn.Module):
        raise GraftError(f"{name} gives a {type(head).__name__}; expected is a torch.nn.Module, a head")
    return head


def _check_parameters(head: nn.Module, name: str) -> None:
    lazy = [key for key, value in chain(head.named_parameters(), head.named_buffers()) if is_lazy(value)]
    if lazy:
        raise GraftError(f"{name} creates {', '.join(lazy)} {CREATE}, from num_features")
    fixed = [key for key, value in head.named_parameters() if not value.requires_grad]
    if fixed:
        raise GraftError(
            f"{name} has parameters that are not to train ({', '.join(fixed)}), but all parameters of a head train; "
            "make them buffers: self.register_buffer"
        )


def _check_logits(logits: object, shape: tuple[int, int], name: str, expected: str) -> None:
    if not isinstance(logits, torch.Tensor):
        raise GraftError(f"{name} gives a {type(logits).__name__}; {expected}")
    if tuple(logits.shape) != shape or not logits.is_floating_point():
        form = f"{str(logits.dtype).removeprefix('torch.')} of the shape {tuple(logits.shape)}"
        raise GraftError(f"{name} gives {form}; {expected}")
    if logits.isnan().any():
        raise GraftError(f"{name} gives NaN for random features from 0 to 1; expected are logits that are numbers")
    if (logits >= 0).all() and torch.allclose(logits.float().sum(1), torch.ones(len(logits)), atol=1e-3):
        raise GraftError(
            f"{name} gives probabilities, of which the loss would take the softmax once more; {expected}: leave out "
            "the softmax"
        )
