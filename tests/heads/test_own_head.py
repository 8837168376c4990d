from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from omegaconf import DictConfig
from torch import nn
from torch.nn import functional

from graft.errors import GraftError
from graft.heads.own_head import checked_head
from graft.run.make_plan import make_plan


class Head(nn.Module):
    """An output layer, and a function of it and of the features; `prepare` makes further attributes."""

    def __init__(self, function: Callable, prepare: Callable = lambda head: None):
        super().__init__()
        self.out = nn.Linear(8, 3)
        self.function = function
        prepare(self)

    def forward(self, features: torch.Tensor) -> object:
        return self.function(self, features)


class Loose(nn.Module):
    def __init__(self):
        super().__init__()
        self.weight = None

    def forward(self, features: torch.Tensor) -> torch.Tensor:
        if self.weight is None:
            self.weight = nn.Parameter(torch.zeros(3, 8))
        return features @ self.weight.T


def check(make: Callable[[], nn.Module]) -> None:
    checked_head(make, Head, num_features=8, num_classes=3)


def step(head: nn.Module) -> int:
    head.steps = getattr(head, "steps", 0) + head.training  # type: ignore[assignment]
    return head.steps  # type: ignore[return-value]


def centered(head: nn.Module, features: torch.Tensor) -> torch.Tensor:
    if head.training:
        head.mean = 0.9 * head.mean + 0.1 * features.detach().mean(0)  # type: ignore[operator, union-attr]
    return head.out(features - head.mean)  # type: ignore[operator]


ANOTHER = r"test_own_head\.Head gives an image other logits each time, beside other images, or in another copy"


@pytest.mark.parametrize(
    ("function", "message"),
    [
        (lambda head, x: head.out(x + torch.randn_like(x)), ANOTHER),
        (lambda head, x: head.out(functional.dropout(x)), ANOTHER),
        (lambda head, x: head.out(x - x.mean(0)), ANOTHER),
        (lambda head, x: head.out(x) * (1 + step(head)), ANOTHER),
        (
            lambda head, x: head.out(x)[:, :2],
            r"Head gives float32 of the shape \(3, 2\); expected are logits, \(3, 3\)",
        ),
        (lambda head, x: head.out(x).repeat(1, 2), r"Head gives float32 of the shape \(3, 6\)"),
        (lambda head, x: head.out(x)[..., None], r"Head gives float32 of the shape \(3, 3, 1\)"),
        (lambda head, x: head.out(x).argmax(1), r"Head gives int64 of the shape \(3,\)"),
        (lambda head, x: (head.out(x), x), r"Head gives a tuple; expected are logits"),
        (
            lambda head, x: head.out(x).softmax(1),
            r"Head gives probabilities, of which the loss .*leave out the softmax",
        ),
        (lambda head, x: head.out(x) * float("nan"), "Head gives NaN for random features from 0 to 1"),
        (lambda head, x: head.out(x).detach(), r"Head gives logits without a gradient"),
        (
            lambda head, x: head.out(x[:, 1:]),
            r"Head fails \(RuntimeError: .*test_own_head\.py, line \d+\); expected are",
        ),
    ],
)
def test_a_head_without_logits_of_each_image_alone_is_refused(function: Callable, message: str):
    with pytest.raises(GraftError, match=message):
        check(lambda: Head(function))


@pytest.mark.parametrize(
    "prepare",
    [
        lambda head: setattr(head, "scale", torch.randn(8)),
        lambda head: head.register_buffer("scale", torch.randn(8), persistent=False),
    ],
)
def test_random_numbers_that_no_file_of_weights_has_are_refused(prepare: Callable):
    with pytest.raises(GraftError, match=ANOTHER):
        check(lambda: Head(lambda head, x: head.out(x * head.scale), prepare))


def test_random_numbers_in_a_buffer_are_allowed():
    check(
        lambda: Head(
            lambda head, x: head.out(x * head.scale), lambda head: head.register_buffer("scale", torch.randn(8))
        )
    )


def test_a_parameter_that_would_not_train_is_refused():
    with pytest.raises(GraftError, match=r"parameters that are not to train \(out\.weight, out\.bias\)"):
        check(lambda: Head(lambda head, x: head.out(x)).requires_grad_(False))


@pytest.mark.parametrize(
    ("make", "names"), [(Loose, "weight"), (lambda: nn.Sequential(nn.LazyLinear(3)), r"0\.weight, 0\.bias")]
)
def test_parameters_of_the_first_pass_are_refused(make: Callable, names: str):
    with pytest.raises(GraftError, match=f"Head creates {names} in its first pass"):
        check(make)


@pytest.mark.parametrize(("make", "message"), [(lambda: 1 / 0, "division by zero"), (dict, "Head gives a dict")])
def test_what_is_no_head_is_refused(make: Callable, message: str):
    with pytest.raises(GraftError, match=message):
        check(make)


@pytest.mark.parametrize(
    "function",
    [
        lambda head, x: head.out(x).log_softmax(1),
        lambda head, x: head.out(functional.dropout(x, training=head.training)),
        lambda head, x: head.out(x.mul_(2)),
    ],
)
def test_other_heads_stay_as_they_are(function: Callable):
    torch.manual_seed(0)
    state = torch.get_rng_state()
    check(lambda: Head(function))
    check(lambda: nn.Sequential(nn.BatchNorm1d(8), nn.Dropout(), nn.Linear(8, 3)))
    assert torch.equal(torch.get_rng_state(), state)


def test_a_function_is_refused_that_predict_would_not_call():
    with pytest.raises(
        GraftError, match=r"test_own_head\.centered is no class; expected is a class of torch\.nn\.Module"
    ):
        checked_head(lambda: nn.Linear(8, 3), centered, num_features=8, num_classes=3)


OURS = "import torch\nclass Net(torch.nn.Linear):\n  def __init__(self, num_features, num_classes{}):\n    {}\n"


@pytest.mark.parametrize(
    ("source", "message"),
    [
        (OURS.format("", "super().__init__(num_features, 9)"), r"ours\.Net gives float32 of the shape \(3, 9\)"),
        (
            OURS.format(", rank", "super().__init__(num_features, rank)"),
            r"ours\.Net cannot be built \(TypeError: .*'rank'",
        ),
        (
            "import torch\nclass Net(torch.nn.Module):\n  def __init__(self, num_features, num_classes):\n"
            "    super().__init__()\n  def forward(self, x):\n    return x[:, :5]\n",
            r"head must be one with parameters where all stages are frozen.*got ours\.Net",
        ),
    ],
)
def test_it_is_refused_before_training(
    configure: Callable[..., DictConfig], edit: Callable[[str], None], source: str, message: str
):
    edit(source)
    with pytest.raises(GraftError, match=message):
        make_plan(configure("head._target_=ours.Net", "~head.dropout", "trials=2"))


def test_so_is_the_head_of_a_pre_training(
    configure: Callable[..., DictConfig], edit: Callable[[str], None], tmp_path: Path
):
    edit(OURS.format("", "super().__init__(num_features, 9)"))
    plan = make_plan(configure("source.head._target_=ours.Net", "~source.head.dropout", "trials=2"))
    with pytest.raises(
        GraftError, match=r"ours\.Net gives float32 of the shape \(3, 9\); expected are logits, \(3, 5\)"
    ):
        plan.pretrained(tmp_path)


QUICK = ("source.epochs=1", "tune=frozen", "epochs=2", "dataset.big=[0,2]", "batch_size=20")


def test_a_buffer_that_is_assigned_trains_one_by_one(run: Callable[..., dict], edit: Callable[[str], None]):
    """Under `vmap` what is assigned would be forgotten after each step."""
    edit(
        "import torch\nclass Centered(torch.nn.Linear):\n  def __init__(self, num_features, num_classes):\n"
        "    super().__init__(num_features, num_classes)\n    self.register_buffer('mean', torch.zeros(num_features))\n"
        "  def forward(self, x):\n    if self.training:\n      self.mean = 0.9 * self.mean + 0.1 * x.detach().mean(0)\n"
        "    return super().forward(x - self.mean)\n"
    )
    words = ("head._target_=ours.Centered", "~head.dropout", *QUICK, "trials=2")
    together, alone = (run(*words, f"trials_at_once={at_once}", name=f"{at_once}")["trials"] for at_once in ("auto", 1))
    assert [each["loss"] for each in together] == [each["loss"] for each in alone]


def test_parts_of_a_head_are_each_trial_s_own(run: Callable[..., dict], edit: Callable[[str], None]):
    """One part for all trials would begin the second trial with what the first one has learned."""
    edit(
        "import torch\nclass Outer(torch.nn.Module):\n  def __init__(self, num_features, num_classes, inner):\n"
        "    super().__init__()\n    self.inner, self.out = inner, torch.nn.Linear(16, num_classes)\n"
        "  def forward(self, x):\n    return self.out(self.inner(x).relu())\n"
    )
    words = ("head._target_=ours.Outer", "~head.dropout", "+head.inner._target_=torch.nn.Linear")
    words += ("+head.inner.in_features=1600", "+head.inner.out_features=16")
    words += (*QUICK, "trials_at_once=1")
    second = run(*words, "trials=2", name="both")["trials"][1]
    alone = run(*words, "trials=1", "seed=1", name="alone")["trials"][0]
    assert (second["loss"], second["accuracy"]) == (alone["loss"], alone["accuracy"])
