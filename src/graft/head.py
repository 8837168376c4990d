"""Heads: what a transfer adds. A head maps features, (batch, features), to logits, (batch, classes)."""

from collections.abc import Sequence

from torch import nn

from graft.layer import activation as make_activation
from graft.layer import linear


class Plain(nn.Sequential):
    """One output layer, with dropout before it."""

    def __init__(self, num_features: int, num_classes: int, dropout: float = 0.0):
        super().__init__(nn.Dropout(dropout), linear(num_features, num_classes))


class Dense(nn.Sequential):
    """Dense layers with an activation each, dropout, and the output layer.

    Args:
        num_features: length of the features that come in.
        num_classes: number of logits that go out.
        widths: units of each dense layer, first to last.
        dropout: rate before the output layer, in [0, 1).
        input_dropout: rate before the first dense layer, in [0, 1).
        activation: `relu`, `tanh`, `sigmoid` or `gelu`.
    """

    def __init__(
        self,
        num_features: int,
        num_classes: int,
        widths: Sequence[int] = (512,),
        dropout: float = 0.0,
        input_dropout: float = 0.0,
        activation: str = "relu",
    ):
        layers: list[nn.Module] = [nn.Dropout(input_dropout)]
        for width in widths:
            layers += [linear(num_features, width), make_activation(activation)]
            num_features = width
        super().__init__(*layers, nn.Dropout(dropout), linear(num_features, num_classes))
