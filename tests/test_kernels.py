"""A kernel equals the plain loop, and the plain loop equals torch's own layers: values and gradients."""

import os
from collections.abc import Callable
from dataclasses import replace
from functools import partial
from itertools import islice
from typing import Any

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import Tensor, nn
from torch.testing import assert_close

from lstmgen.cells import Cell, build_cell
from lstmgen.cells.lstm import LSTMCell, LSTMState
from lstmgen.network.forward import LayerRunner, LookUp, unroll
from lstmgen.network.kernels.loops import peephole
from lstmgen.network.kernels.numpy_layers import numpy_layer
from lstmgen.network.kernels.torch_layers import layer_runner, run_layer
from lstmgen.text.streams import IGNORED
from lstmgen.training.loss import head_loss
from tests.conftest import CELLS

BATCH, TIME, INPUT, HIDDEN = 3, 6, 4, 5
DEVICE = os.environ.get("LSTMGEN_TEST_DEVICE", "cpu")
"""Where the kernels compute; `.ci/gpu` says cuda."""

Problem = tuple[dict[str, Tensor], Tensor, Any]


def build(name: str) -> Cell:
    return build_cell(replace(CELLS[name], hidden_size=HIDDEN), INPUT)


def problem(cell: Cell) -> Problem:
    """Random weights, inputs and a state that is not zero, all requiring gradients."""
    generator = torch.Generator().manual_seed(3)

    def draw(*shape: int) -> Tensor:
        return torch.randn(shape, generator=generator, dtype=torch.float64).to(DEVICE).requires_grad_()

    weights = {name: draw(*shape) for name, shape in cell.shapes().items()}
    inputs = draw(BATCH, TIME, INPUT)
    zeros = cell.initial_state(BATCH, like=inputs.detach())
    return weights, inputs, type(zeros)(*(draw(BATCH, HIDDEN) for _ in zeros))


def values_and_gradients(run: Callable[[], tuple[Tensor, Any]], leaves: list[Tensor]) -> list[Tensor]:
    outputs, state = run()
    values = [outputs, *state]
    generator = torch.Generator().manual_seed(4)
    weighing = [torch.randn(value.shape, generator=generator, dtype=value.dtype).to(DEVICE) for value in values]
    total = sum((value * weight).sum() for value, weight in zip(values, weighing, strict=True))
    assert isinstance(total, Tensor)
    return [*values, *torch.autograd.grad(total, leaves)]


def through(run: LayerRunner, cell: Cell) -> list[Tensor]:
    weights, inputs, state = problem(cell)
    ours: Callable[[], Any] = partial(run, cell, weights, inputs, state)
    return values_and_gradients(ours, [*weights.values(), inputs, *state])


RUNNERS = [(name, layer_runner(build(name), device)) for name in CELLS for device in ("cpu", "cuda")]
RUNNERS.append(("lstm", peephole))  # for processors that cannot run torch's LSTM in bfloat16


@pytest.mark.parametrize(("name", "run"), RUNNERS)
def test_the_kernel_for_each_device_equals_the_loop(name: str, run: LayerRunner) -> None:
    cell = build(name)
    for ours, theirs in zip(through(run, cell), through(unroll, cell), strict=True):
        assert_close(ours, theirs, rtol=0, atol=1e-9)


def test_a_cell_without_twins_runs_by_its_own_step() -> None:
    class NewCell(LSTMCell):
        pass

    cell = NewCell(INPUT, HIDDEN)
    assert layer_runner(cell, "cpu") is layer_runner(cell, "cuda") is unroll
    weights, inputs, state = problem(cell)
    arrays = {name: weight.detach().cpu().numpy() for name, weight in weights.items()}
    before = LSTMState(*(field.detach().cpu().numpy() for field in state))
    after = numpy_layer(cell, arrays).step(inputs.detach().cpu().numpy()[:, 0], before)
    expected, _ = unroll(cell, weights, inputs[:, :1], state)
    assert_close(torch.from_numpy(after.hidden), expected[:, 0].detach().cpu(), rtol=0, atol=1e-12)


@pytest.mark.parametrize("vocab_size", [7, 40])
@pytest.mark.parametrize("name", CELLS)
def test_a_kernel_looks_tokens_up_as_the_loop_does(name: str, vocab_size: int) -> None:
    """With fewer tokens than places in the chunk, and with more."""
    cell = build(name)
    weights, _, state = problem(cell)
    generator = torch.Generator().manual_seed(5)
    embedding = torch.randn(vocab_size, INPUT, generator=generator, dtype=torch.float64).to(DEVICE).requires_grad_()
    inputs: Any = LookUp(embedding, torch.randint(vocab_size, (BATCH, TIME), generator=generator).to(DEVICE))
    leaves = [*weights.values(), embedding, *state]
    ours = values_and_gradients(lambda: run_layer(cell, weights, inputs, state), leaves)
    loop: Callable[[], Any] = partial(unroll, cell, weights, inputs, state)
    theirs = values_and_gradients(loop, leaves)
    for one, other in zip(ours, theirs, strict=True):
        assert_close(one, other, rtol=0, atol=1e-9)


@pytest.mark.parametrize("name", [name for name in CELLS if name.startswith(("rnn", "peephole", "gru"))])
def test_hand_derived_gradients_equal_finite_differences(name: str) -> None:
    cell = build(name)
    weights, inputs, state = problem(cell)
    names = list(weights)

    def run(inputs: Tensor, *rest: Tensor) -> tuple[Tensor, ...]:
        own = dict(zip(names, rest, strict=False))
        outputs, after = run_layer(cell, own, inputs, type(state)(*rest[len(names) :]))
        return (outputs, *after)

    assert torch.autograd.gradcheck(run, (inputs, *weights.values(), *state))


@pytest.mark.parametrize(("name", "layer"), [("rnn", nn.RNN), ("lstm", nn.LSTM), ("gru-after", nn.GRU)])
def test_loop_equals_torch_layer_with_copied_weights(name: str, layer: type[nn.RNNBase]) -> None:
    cell = build(name)
    weights, inputs, state = problem(cell)
    theirs = layer(INPUT, HIDDEN, batch_first=True).double().to(DEVICE)  # type: ignore[arg-type,call-arg]  # the subclasses' sizes
    second_bias = torch.zeros_like(weights["bias"])
    if name == "gru-after":
        second_bias = torch.cat([second_bias[: 2 * HIDDEN], weights["bias_candidate"]])
    copied = {**weights, "bias_ih": weights["bias"], "bias_hh": second_bias}
    theirs.load_state_dict({f"{part}_l0": copied[part] for part in ("weight_ih", "weight_hh", "bias_ih", "bias_hh")})

    def run_theirs() -> tuple[Tensor, Any]:
        before = tuple(field[None] for field in state)
        outputs, after = theirs(inputs, before if len(before) == 2 else before[0])
        return outputs, [field[0] for field in (after if isinstance(after, tuple) else (after,))]

    leaves = [inputs, *state]
    expected = values_and_gradients(run_theirs, [*leaves, *islice(theirs.parameters(), 2)])
    run_ours: Callable[[], Any] = partial(unroll, cell, weights, inputs, state)
    found = values_and_gradients(run_ours, [*leaves, weights["weight_ih"], weights["weight_hh"]])
    for ours, theirs_value in zip(found, expected, strict=True):
        assert_close(ours, theirs_value, rtol=0, atol=1e-9)


@pytest.mark.parametrize("name", CELLS)
def test_kernel_in_bfloat16_is_near_and_carries_float32_state(name: str) -> None:
    cell = build(name)
    weights, inputs, state = problem(cell)
    single = {key: tensor.detach().float() for key, tensor in weights.items()}
    before = type(state)(*(field.detach().float() for field in state))
    exact, _ = run_layer(cell, single, inputs.detach().float(), before)
    with torch.autocast(DEVICE, torch.bfloat16):
        rounded, after = run_layer(cell, single, inputs.detach().float(), before)
    assert_close(rounded.float(), exact, rtol=0, atol=0.1)
    assert {field.dtype for field in after} == {torch.float32}


# The head's loss equals torch's own, in values and gradients, however the rows are cut


SIZE, VOCAB_SIZE = 3, 5


def head_problem() -> tuple[Tensor, Tensor, Tensor, Tensor]:
    """Inputs, weight and bias that require gradients, and targets with two that are ignored."""
    generator = torch.Generator().manual_seed(0)
    shapes = ((BATCH, TIME, SIZE), (VOCAB_SIZE, SIZE), (VOCAB_SIZE,))
    inputs, weight, bias = (
        torch.randn(shape, generator=generator, dtype=torch.float64).to(DEVICE).requires_grad_() for shape in shapes
    )
    targets = torch.randint(VOCAB_SIZE, (BATCH, TIME), generator=generator).to(DEVICE)
    targets[0, 1] = targets[1, 3] = IGNORED
    return inputs, weight, bias, targets


@given(smoothing=st.sampled_from([0.0, 0.02, 0.5]), logits=st.integers(1, 60))
def test_loss_and_gradients_equal_those_of_torch(smoothing: float, logits: int) -> None:
    inputs, weight, bias, targets = head_problem()
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
    inputs, weight, bias, targets = head_problem()
    single = [tensor.detach().float().requires_grad_() for tensor in (inputs, weight, bias)]
    exact, _ = head_loss(single[0], (single[1], single[2]), targets, 0.0)
    low, _ = head_loss(single[0].bfloat16(), (single[1], single[2]), targets, 0.0)
    assert low.dtype == torch.float32
    assert_close(low, exact, rtol=0, atol=0.05)
    for ours, theirs in zip(torch.autograd.grad(low, single), torch.autograd.grad(exact, single), strict=True):
        assert ours.dtype == torch.float32
        assert_close(ours, theirs, rtol=0, atol=0.05)
