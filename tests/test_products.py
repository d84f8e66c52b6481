"""A product with a rearranged matrix equals that of torch, with every torch and on every processor."""

from collections.abc import Iterator

import pytest
import torch
from torch.testing import assert_close

from lstmgen.network.kernels import products
from lstmgen.network.kernels.products import multiplier

ROWS, INPUTS, OUTPUTS = 3, 5, 7


@pytest.fixture(autouse=True)
def every_matrix_is_large(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    monkeypatch.setattr(products, "_LARGE", 0)
    products._can_rearrange.cache_clear()
    yield
    products._can_rearrange.cache_clear()


@pytest.fixture(params=["this one", "another processor", "another torch", "a torch without oneDNN"])
def machine(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*_: object) -> None:
        raise RuntimeError("it was built without oneDNN")

    match request.param:
        case "another processor":
            monkeypatch.setattr("platform.machine", lambda: "riscv64")
        case "another torch":
            monkeypatch.setattr(torch.ops, "mkldnn", object())
        case "a torch without oneDNN":
            monkeypatch.setattr(torch.ops.mkldnn, "_reorder_linear_weight", refuse)


@pytest.mark.usefixtures("machine")
@pytest.mark.parametrize("kind", [torch.float64, torch.float32, torch.bfloat16])
@pytest.mark.parametrize("rows", [1, ROWS, 40])
def test_a_product_equals_that_of_torch(kind: torch.dtype, rows: int) -> None:
    generator = torch.Generator().manual_seed(rows)
    matrix = torch.randn(INPUTS, OUTPUTS, generator=generator).to(kind)
    x = torch.randn(rows, 2 * INPUTS, generator=generator).to(kind)[:, ::2]  # a part of a larger tensor
    y = torch.randn(rows, 2 * OUTPUTS, generator=generator).to(kind)[:, OUTPUTS:]  # likewise
    exact = x.double() @ matrix.double()
    for same_matrix in (matrix, matrix.T.contiguous().T):
        multiply = multiplier(same_matrix, ROWS)
        for found, expected in ((multiply(x), exact), (multiply(x, y), exact + y.double())):
            assert found.dtype == kind
            assert_close(found, expected.to(kind))
