"""The head's loss equals torch's own, in values and gradients, however the rows are cut."""

import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import Tensor, nn
from torch.testing import assert_close

from lstmgen.text.streams import IGNORED
from lstmgen.training.loss import head_loss

BATCH, TIME, SIZE, VOCAB_SIZE = 2, 4, 3, 5


def problem() -> tuple[Tensor, Tensor, Tensor, Tensor]:
    """Inputs, weight and bias that want gradients, and targets of which two are ignored."""
    generator = torch.Generator().manual_seed(0)
    shapes = ((BATCH, TIME, SIZE), (VOCAB_SIZE, SIZE), (VOCAB_SIZE,))
    inputs, weight, bias = (
        torch.randn(shape, generator=generator, dtype=torch.float64).requires_grad_() for shape in shapes
    )
    targets = torch.randint(VOCAB_SIZE, (BATCH, TIME), generator=generator)
    targets[0, 1] = targets[1, 3] = IGNORED
    return inputs, weight, bias, targets


@given(smoothing=st.sampled_from([0.0, 0.02, 0.5]), logits=st.integers(1, 60))
def test_loss_and_gradients_equal_those_of_torch(smoothing: float, logits: int) -> None:
    inputs, weight, bias, targets = problem()
    loss, nats = head_loss(inputs, (weight, bias), targets, smoothing, max_logits=logits)
    logits_of_all = (inputs @ weight.T + bias).flatten(0, 1)
    expected, plain = (
        nn.functional.cross_entropy(logits_of_all, targets.flatten(), ignore_index=IGNORED, label_smoothing=amount)
        for amount in (smoothing, 0.0)
    )
    assert_close(loss, expected, rtol=0, atol=1e-12)
    assert_close(nats, plain.detach(), rtol=0, atol=1e-12)
    assert not nats.requires_grad
    leaves = (inputs, weight, bias)
    for ours, theirs in zip(
        torch.autograd.grad(3 * loss, leaves), torch.autograd.grad(3 * expected, leaves), strict=True
    ):
        assert_close(ours, theirs, rtol=0, atol=1e-12)


def test_products_are_computed_in_the_type_of_the_inputs() -> None:
    inputs, weight, bias, targets = problem()
    single = [tensor.detach().float().requires_grad_() for tensor in (inputs, weight, bias)]
    exact, _ = head_loss(single[0], (single[1], single[2]), targets, 0.0)
    low, _ = head_loss(single[0].bfloat16(), (single[1], single[2]), targets, 0.0)
    assert low.dtype == torch.float32
    assert_close(low, exact, rtol=0, atol=0.05)
    for ours, theirs in zip(torch.autograd.grad(low, single), torch.autograd.grad(exact, single), strict=True):
        assert ours.dtype == torch.float32
        assert_close(ours, theirs, rtol=0, atol=0.05)
