"""The loss of the head, in bounded memory.

    logits z = W y + b
    nats     = log Σ_v exp(z_v) - z_target                            the negative log-probability of the target
    loss     = (1 - s) nats + s (log Σ_v exp(z_v) - mean_v z_v)       with label smoothing s (Szegedy et al. 2016)

The gradient with respect to z is softmax(z) - (1 - s) onehot(target) - s / V. It is computed together with the logits,
a few rows at a time, so that the logits of all rows never exist at once: with 6,000 tokens they would be the largest
arrays of a training step, and with 100,000 they would not fit into memory.
"""

from typing import Any

import torch
from torch import Tensor
from torch.autograd.function import once_differentiable

from lstmgen.text.streams import IGNORED

_LOGITS = 1 << 22
"""The maximum number of logits at once: 16 MB. Fewer would be slower, and more hardly faster."""


def head_loss(
    inputs: Tensor,
    head: tuple[Tensor, Tensor],
    targets: Tensor,
    smoothing: float,
    max_logits: int = _LOGITS,
) -> tuple[Tensor, Tensor]:
    """Compute the mean loss over all predicted targets, and its gradient.

    Args:
        inputs: y, the head's inputs, (batch, time, size); the products have the same type.
        head: W, (vocab, size), and b, (vocab,).
        targets: (batch, time); `IGNORED` where nothing is predicted.
        smoothing: s, from 0 to below 1.
        max_logits: the maximum number of logits at once; at least one whole row is computed.

    Returns:
        The loss, with a gradient, and the nats per token, without one.
    """
    rows = inputs.flatten(0, 1)
    loss, nats = _HeadLoss.apply(rows, *head, targets.flatten(), smoothing, max_logits)  # type: ignore[no-untyped-call]  # torch has no types for it
    return loss, nats


class _HeadLoss(torch.autograd.Function):
    """The loss of rows y, (rows, size); the forward pass also computes the gradient."""

    @staticmethod
    def forward(
        ctx: Any, inputs: Tensor, weight: Tensor, bias: Tensor, targets: Tensor, smoothing: float, max_logits: int
    ) -> tuple[Tensor, Tensor]:
        """The mean loss and the mean nats, two numbers."""
        W = weight.to(inputs.dtype)
        vocab_size = len(W)
        d_inputs, d_weight, d_bias = torch.empty_like(inputs), torch.zeros_like(weight), torch.zeros_like(bias)
        loss, nats = bias.new_zeros(()), bias.new_zeros(())
        counted = (targets != IGNORED).to(bias.dtype)
        means = (counted / counted.sum())[:, None]  # the weight of each row: all predicted rows count equally
        targets = targets.clamp(min=0)[:, None]
        at_once = max(1, max_logits // vocab_size)
        for start in range(0, len(inputs), at_once):
            rows = slice(start, start + at_once)
            y, target, mean = inputs[rows], targets[rows], means[rows]
            z = (y @ W.T).to(bias.dtype).add_(bias)
            z -= z.amax(dim=-1, keepdim=True)
            z_target = z.gather(-1, target)
            z_mean = z.mean(dim=-1, keepdim=True) if smoothing else 0.0
            exponentials = z.exp_()
            total = exponentials.sum(dim=-1, keepdim=True)
            log_total = total.log()
            nats += (mean * (log_total - z_target)).sum()
            loss += (mean * (log_total - (1 - smoothing) * z_target - smoothing * z_mean)).sum()
            deltas = exponentials.mul_(mean / total)
            deltas.scatter_add_(-1, target, (smoothing - 1) * mean)
            if smoothing:
                deltas -= smoothing / vocab_size * mean
            d_bias += deltas.sum(dim=0)
            low = deltas.to(inputs.dtype)
            d_inputs[rows] = low @ W
            d_weight += low.T @ y
        ctx.save_for_backward(d_inputs, d_weight, d_bias)
        ctx.mark_non_differentiable(nats)
        return loss, nats

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, d_loss: Tensor, _d_nats: Tensor) -> tuple[Tensor | None, ...]:
        """The gradients with respect to y, W and b."""
        return *(gradient * d_loss for gradient in ctx.saved_tensors), None, None, None
