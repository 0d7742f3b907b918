"""Products by oneDNN are those of torch; an adapter apart has the output and the gradient of the sum of weights."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from paraphrase_rl_plugins.backends import _products
from paraphrase_rl_plugins.backends._adapted import computed
from paraphrase_rl_plugins.backends._products import Product, packed, times
from peft import LoraConfig, get_peft_model

DTYPES = {torch.float32: 1e-5, torch.bfloat16: 1e-2}


@pytest.fixture(params=[True, False], ids=["onednn", "torch"])
def onednn(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> bool:
    """Whether products are computed by oneDNN; without it they must be the same."""
    if request.param and torch.float32 not in _products._onednn_types():
        pytest.skip("this build of torch has no oneDNN")
    if not request.param:
        monkeypatch.setattr(_products, "_onednn_types", lambda: ())
    return request.param


def near(got: torch.Tensor, expected: torch.Tensor, tolerance: float) -> bool:
    return bool((got.double() - expected.double()).norm() <= tolerance * expected.double().norm())


@pytest.mark.usefixtures("onednn")
@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("shape", [(5,), (2, 3), (1, 700), (0,)])
@pytest.mark.parametrize("biased", [True, False])
def test_a_product_is_that_of_a_linear_layer(
    dtype: torch.dtype, shape: tuple[int, ...], biased: bool
) -> None:
    torch.manual_seed(0)
    x, weight, bias = torch.randn(*shape, 40), torch.randn(24, 40), torch.randn(24)
    x, weight, bias = (part.to(dtype) for part in (x, weight, bias))
    expected = x.double() @ weight.double().T + (bias.double() if biased else 0)
    got = Product(weight, bias if biased else None)(x)
    assert (got.dtype, got.shape) == (dtype, expected.shape)
    assert near(got, expected, DTYPES[dtype])


@pytest.mark.usefixtures("onednn")
@pytest.mark.parametrize("dtype", DTYPES)
def test_a_product_with_a_weight_as_it_stands_is_that_of_torch(dtype: torch.dtype) -> None:
    torch.manual_seed(0)
    out, weight = torch.randn(7, 24).to(dtype), torch.randn(24, 40).to(dtype)
    assert near(times(out, weight), out.double() @ weight.double(), DTYPES[dtype])
    assert near(times(out.T, out), out.T.double() @ out.double(), DTYPES[dtype])


@pytest.mark.usefixtures("onednn")
def test_layers_are_packed_inside_the_block_alone_and_those_left_out_are_not() -> None:
    torch.manual_seed(0)
    model = torch.nn.Sequential(torch.nn.Linear(8, 8), torch.nn.Sequential(torch.nn.Linear(8, 8)))
    x = torch.randn(3, 8)
    with torch.no_grad():
        expected = model(x)
        with packed(model, besides=[model[1]]):
            assert torch.allclose(model(x), expected, atol=1e-6)
            assert "forward" not in vars(model[1][0])
        model[0].weight.zero_()
        assert torch.allclose(model(x), model[1](model[0].bias).expand(3, 8)), "the weight as it is now"


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("biased", [True, False])
def test_an_adapted_layer_has_the_gradient_of_the_sum_of_its_weights(
    onednn: bool, dtype: torch.dtype, biased: bool
) -> None:
    torch.manual_seed(0)
    model: Any = torch.nn.Sequential(torch.nn.Linear(40, 24, bias=biased)).to(dtype)
    model = get_peft_model(model, LoraConfig(r=4, lora_alpha=12, target_modules=["0"]))
    layer = model.base_model.model[0]
    a, b = layer.lora_A["default"].weight, layer.lora_B["default"].weight
    assert a.dtype == torch.float32
    torch.nn.init.normal_(b, std=0.3)
    x = torch.randn(2, 9, 40, dtype=dtype, requires_grad=True)
    given = torch.randn(2, 9, 24, dtype=dtype)

    inner, outer = (part.detach().double().requires_grad_() for part in (a, b))
    held = x.detach().double().requires_grad_()
    expected = held @ (layer.base_layer.weight.double() + 3.0 * outer @ inner).T
    expected = expected + layer.base_layer.bias.double() if biased else expected
    wanted = torch.autograd.grad(expected, (held, inner, outer), given.double())

    with computed(model):
        out = model(x)
        with torch.no_grad():
            assert torch.equal(model(x), out), "sampled and trained alike"
            with model.disable_adapter():
                assert near(model(x), layer.base_layer(x), DTYPES[dtype])
    assert near(out, expected, DTYPES[dtype])
    for got, right in zip(torch.autograd.grad(out, (x, a, b), given), wanted, strict=True):
        assert near(got, right, DTYPES[dtype])
    assert "forward" not in vars(layer)


@pytest.mark.usefixtures("onednn")
def test_the_gradient_is_that_of_the_adapter_as_it_is_now() -> None:
    torch.manual_seed(0)
    model: Any = get_peft_model(
        torch.nn.Sequential(torch.nn.Linear(40, 24)), LoraConfig(r=4, target_modules=["0"])
    )
    layer = model.base_model.model[0]
    x, b = torch.randn(9, 40, requires_grad=True), layer.lora_B["default"].weight
    for change in (0.3, -0.1):
        b.data.add_(change)  # as an optimizer does it, uncounted by torch
        with computed(model), torch.autocast("cpu", torch.bfloat16):
            model(x)  # here first: the sum of weights must not be rounded
        with computed(model):
            (got,) = torch.autograd.grad(model(x).sum(), x)
        (expected,) = torch.autograd.grad(model(x).sum(), x)
        assert near(got, expected, 1e-5)
