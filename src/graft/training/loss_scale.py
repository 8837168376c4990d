"""Loss scaling for float16: each trial's own, where PyTorch's GradScaler has one factor for a whole optimizer."""

from collections.abc import Sequence

import torch

INITIAL, LARGEST = 2.0**16, 2.0**32  # the former is GradScaler's
GROWTH_STEPS = 2000  # GradScaler's: steps without an overflow after which a factor is doubled


class LossScale:
    """Factors of the trials' losses, without which small gradients would become 0 in float16.

    Each trial's factor follows the rule of `torch.amp.GradScaler`: it is halved after an overflow and doubled after
    2,000 steps without one. But a gradient that overflows is replaced by 0, instead of leaving out the optimizer's
    step, which all trials share. A factor is at least 1: a gradient that is no number even then stays, and its trial
    fails.

    Args:
        num_trials: number of trials.

    Example:
        The first trial's gradient has overflowed.

        >>> scale = LossScale(2)
        >>> gradient = torch.tensor([[torch.inf, 1.0], [65536.0, 131072.0]])  # (trials, ...)
        >>> scale.unscale([gradient])
        >>> gradient
        tensor([[0., 0.],
                [1., 2.]])
        >>> scale.factors
        tensor([32768., 65536.])
    """

    def __init__(self, num_trials: int):
        self.factors = torch.full([num_trials], INITIAL)
        self.steps = torch.zeros(num_trials, dtype=torch.long)  # since a factor's last change

    def state_dict(self) -> dict[str, torch.Tensor]:
        """Return what a fit needs to resume."""
        return {"factors": self.factors, "steps": self.steps}

    def load_state_dict(self, state: dict[str, torch.Tensor]) -> None:
        """Restore the state that `state_dict` returned."""
        self.factors, self.steps = state["factors"], state["steps"]

    def scale(self, losses: torch.Tensor) -> None:
        """Scale what the backward pass makes of the losses, (trials, batch); their values stay."""
        self.factors, self.steps = self.factors.to(losses.device), self.steps.to(losses.device)
        losses.register_hook(lambda gradient: gradient * self.factors[:, None])

    @torch.no_grad()
    def unscale(self, gradients: Sequence[torch.Tensor]) -> None:
        """Divide the gradients by the factors, in place, and update the factors.

        Args:
            gradients: those of all parameters, each (trials, ...), or (...) of a single trial.
        """
        for gradient in gradients:
            gradient.div_(by_trial(self.factors, gradient))
        finite = [gradient.reshape(len(self.factors), -1).isfinite().all(1) for gradient in gradients]
        overflowed = ~torch.stack(finite).all(0) & (self.factors > 1)  # (trials,)
        for gradient in gradients:
            gradient.masked_fill_(by_trial(overflowed, gradient), 0)
        self.steps = torch.where(overflowed, 0, self.steps + 1)
        grown = self.steps == GROWTH_STEPS
        self.steps.masked_fill_(grown, 0)
        change = torch.where(overflowed, 0.5, torch.where(grown, 2.0, 1.0))
        self.factors = (self.factors * change).clamp(1, LARGEST)


def by_trial(values: torch.Tensor, gradient: torch.Tensor) -> torch.Tensor:
    """Return one value for each trial, (trials,), in a shape that multiplies a gradient, (trials, ...)."""
    return values[0] if len(values) == 1 else values.view(-1, *[1] * (gradient.ndim - 1))
