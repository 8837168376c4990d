"""LoRA's updates, compared with a plain PyTorch loop and with the network that they are added to."""

import copy
from collections import OrderedDict

import pytest
import torch
from torch import nn
from torch.nn.functional import cross_entropy

from graft.model.lora import Adapted, attention_weights, merged
from graft.stack.trial_stack import TrialStack

timm = pytest.importorskip("timm")
TIMES = 3


class Blocks(nn.Sequential):
    """Two of timm's blocks and the mean of their tokens."""

    def __init__(self):
        block = timm.models.vision_transformer.Block
        super().__init__(block(16, 2, init_values=0.5), block(16, 2), nn.Flatten())


def updated(stages: nn.Module, tokens: torch.Tensor, a: list[torch.Tensor], b: list[torch.Tensor]) -> torch.Tensor:
    """Add updates beside each layer's output, as the paper writes it."""
    network = copy.deepcopy(stages).eval()
    for name, one, other in zip(attention_weights(network), a, b, strict=True):
        layer = network.get_submodule(name.removesuffix(".weight"))
        layer.register_forward_hook(lambda _, x, y, a=one, b=other: y + 2 * (x[0] @ a.T) @ b.T)
    return network(tokens)


def test_which_weights_are_attention_s():
    assert attention_weights(Blocks()) == [
        f"{block}.attn.{layer}.weight" for block in "01" for layer in ("qkv", "proj")
    ]
    torchvision = nn.ModuleDict({"self_attention": nn.MultiheadAttention(8, 2), "mlp": nn.Linear(8, 8)})
    assert attention_weights(torchvision) == ["self_attention.in_proj_weight", "self_attention.out_proj.weight"]
    assert attention_weights(nn.Sequential(nn.Conv2d(3, 8, 3), nn.Linear(8, 8))) == []


@pytest.mark.filterwarnings("ignore:There is a performance drop")  # vmap runs timm's attention trial by trial
def test_trials_train_as_in_a_plain_loop_and_share_the_frozen_weights():
    torch.manual_seed(0)
    stages = Blocks()
    before = copy.deepcopy(stages.state_dict())
    networks = [
        nn.Sequential(OrderedDict(stages=Adapted(stages, 4, 8), head=nn.Linear(5 * 16, 3))) for _ in range(TIMES)
    ]
    plain = [copy.deepcopy(network.state_dict()) for network in networks]
    tokens, labels = torch.randn(TIMES, 6, 5, 16), torch.randint(3, (TIMES, 6))
    stack = TrialStack(networks)
    assert {name.split(".")[1] for name in stack.weights() if name.startswith("stages.")} == {"a", "b"}
    optimizer = torch.optim.SGD(stack.parameters(), 0.5)
    for _ in range(3):
        optimizer.zero_grad()
        logits = stack(tokens)
        torch.stack(list(map(cross_entropy, logits, labels))).sum().backward()
        optimizer.step()
    for trial, weights in enumerate(plain):
        values = {name: value.clone().requires_grad_() for name, value in weights.items()}
        a, b = ([values[f"stages.{part}.{number}"] for number in range(4)] for part in "ab")
        assert all(not each.any() for each in b)
        for _ in range(3):
            features = updated(stages, tokens[trial], a, b)
            loss = cross_entropy(features @ values["head.weight"].T + values["head.bias"], labels[trial])
            for value, gradient in zip(values.values(), torch.autograd.grad(loss, list(values.values())), strict=True):
                value.data -= 0.5 * gradient
        found = stack.trial(trial)
        assert all(torch.allclose(found[name], value, atol=1e-5) for name, value in values.items())
        whole = merged(stages, found, (4, 8))
        network = nn.ModuleDict({"stages": Blocks(), "head": nn.Linear(80, 3)}).eval()
        network.load_state_dict(whole)
        with torch.no_grad():
            said = network["head"](network["stages"](tokens[trial]))
            assert torch.allclose(said, stack.eval()(tokens)[trial], atol=1e-5)
    assert all(torch.equal(value, before[name]) for name, value in stages.state_dict().items())


def test_a_single_network_with_torchvision_s_attention():
    from torchvision.models.vision_transformer import EncoderBlock

    block = EncoderBlock(2, 8, 16, 0.0, 0.0, nn.LayerNorm).eval()
    adapted = Adapted(block, 2, 4)
    with torch.no_grad():
        for each in adapted.b:
            each.normal_()
    tokens = torch.rand(3, 5, 8)
    weights = merged(block, {f"stages.{name}": value for name, value in adapted.state_dict().items()}, (2, 4))
    expected = copy.deepcopy(block)
    expected.load_state_dict({name.removeprefix("stages."): value for name, value in weights.items()})
    assert not torch.allclose(adapted(tokens), block(tokens), atol=1e-3)
    assert torch.allclose(adapted(tokens), expected(tokens), atol=1e-6)
    assert adapted.double()(tokens.double()).dtype == torch.float64
