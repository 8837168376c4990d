import pytest
import torch
from torch import nn

from graft.heads.head import Dense, Plain
from graft.model.layers import ACTIVATIONS, activation, conv, linear


def kinds(head: nn.Sequential) -> list[str]:
    return [type(layer).__name__ for layer in head]


def test_the_default_head_has_the_lecture_s_8005_parameters():
    assert sum(parameter.numel() for parameter in Plain(1600, 5).parameters()) == 8_005


def test_dropout_sits_before_the_output_and_input_dropout_before_the_first_dense_layer():
    assert kinds(Plain(8, 3, dropout=0.5)) == ["Dropout", "Linear"]
    head = Dense(8, 3, widths=[6, 4], dropout=0.5, input_dropout=0.25, activation="tanh")
    assert kinds(head) == ["Dropout", "Linear", "Tanh", "Linear", "Tanh", "Dropout", "Linear"]
    assert [layer.p for layer in head if isinstance(layer, nn.Dropout)] == [0.25, 0.5]
    assert head(torch.rand(2, 8)).shape == (2, 3)


@pytest.mark.parametrize("layer", [linear(300, 200), conv(20, 30, 3)])
def test_weights_are_glorot_uniform_and_biases_zero_as_in_keras(layer: nn.Linear | nn.Conv2d):
    outputs, inputs = layer.weight.shape[:2]
    bound = (6 / ((inputs + outputs) * layer.weight[0, 0].numel())) ** 0.5
    assert layer.bias is not None
    assert layer.bias.count_nonzero() == 0
    assert layer.weight.abs().max() <= bound
    assert layer.weight.std().item() == pytest.approx(bound / 3**0.5, rel=0.05)  # a uniform distribution's


def test_activations_by_name():
    assert [type(activation(name)) for name in ACTIVATIONS] == [nn.ReLU, nn.Tanh, nn.Sigmoid, nn.GELU]
    with pytest.raises(ValueError, match="one of relu, tanh, sigmoid, gelu, got 'rleu'"):
        activation("rleu")
