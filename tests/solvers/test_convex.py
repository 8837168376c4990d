import numpy as np
import pytest
import torch
from scipy.optimize import minimize as scipy_minimize

from graft.solvers.convex import CrossEntropy, Loss, SquaredHinge, minimize, times


def problem(kind: type[Loss], dtype: torch.dtype = torch.float64) -> tuple[torch.Tensor, Loss]:
    """Return 40 images of 9 features, and the loss of 3 classes in 4 folds."""
    random = torch.Generator().manual_seed(3)
    x = torch.randn(40, 9, generator=random, dtype=torch.float64) * torch.logspace(-1, 1, 9)
    own = torch.eye(3, dtype=torch.float64)[:, torch.arange(40) % 3][:, None]
    weights = (torch.rand(1, 4, 40, generator=random, dtype=torch.float64) - 0.2).clamp(min=0)
    return x.to(dtype), kind((own if kind is CrossEntropy else 2 * own - 1).to(dtype), weights.to(dtype))  # type: ignore[call-arg]


@pytest.mark.parametrize("kind", [CrossEntropy, SquaredHinge])
def test_derivatives_are_autograd_s(kind: type[Loss]):
    _, loss = problem(kind)
    logits = torch.randn(3, 4, 40, generator=torch.Generator().manual_seed(0), dtype=torch.float64, requires_grad=True)
    direction = torch.randn(3, 4, 40, generator=torch.Generator().manual_seed(1), dtype=torch.float64)
    (slope,) = torch.autograd.grad(loss.total(logits).sum(), logits, create_graph=True)
    torch.testing.assert_close(loss.slope(logits), slope)
    (along,) = torch.autograd.grad((slope * direction).sum(), logits, retain_graph=True)
    torch.testing.assert_close(loss.bend_along(logits, direction), loss.dot(along, direction))
    place = torch.zeros_like(logits)
    place[1, 2, 5] = 1
    (one,) = torch.autograd.grad((slope * place).sum(), logits)
    torch.testing.assert_close(loss.bend(logits)[1, 2, 5], one[1, 2, 5])


@pytest.mark.parametrize("kind", [CrossEntropy, SquaredHinge])
@pytest.mark.parametrize("strength", [1e-2, 1.0, 1e3])
def test_layers_are_scipy_s_from_any_start(kind: type[Loss], strength: float):
    x, loss = problem(kind)
    penalty = torch.full((9,), strength, dtype=torch.float64)

    def value(flat: np.ndarray) -> tuple[float, np.ndarray]:
        layer = torch.from_numpy(flat).view(3, 4, 9).requires_grad_()
        total = loss.total(times(layer, x.T)).sum() + (penalty * layer**2).sum() / 2
        total.backward()
        assert layer.grad is not None
        return total.item(), layer.grad.numpy().ravel()

    expected = scipy_minimize(value, np.zeros(108), jac=True, options={"gtol": 1e-8, "maxiter": 5000})
    for start in (torch.zeros(3, 4, 9), torch.ones(3, 4, 9), torch.from_numpy(expected.x).view(3, 4, 9)):
        found = minimize(x, loss, penalty, start.double(), 1e-14).numpy().ravel()
        assert value(found)[0] <= (1 + 1e-9) * expected.fun
        np.testing.assert_allclose(found, expected.x, atol=1e-5 if strength >= 1 else 0.02)  # where it is flat


@pytest.mark.parametrize("kind", [CrossEntropy, SquaredHinge])
def test_32_bits_stay_finite_beyond_what_they_hold(kind: type[Loss]):
    x, loss = problem(kind, torch.float32)
    for strength in (1e3, 1e-6):
        found = minimize(x, loss, torch.full((9,), strength), torch.zeros(3, 4, 9), 0.0)
        assert found.isfinite().all()
