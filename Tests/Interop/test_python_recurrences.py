"""The recurrences of the Python code against loops over tokens, at odd sizes and with any gates."""

import pytest
import torch

from fla_reference import recurrent_gla
from mamba2_reference import ssd_loop
from reference_common import relative_error
from statex.models.modeling_statex_gla import chunk_gla
from statex.models.modeling_statex_mamba2 import chunk_ssd

pytestmark = pytest.mark.usefixtures("one_thread")

# Mean log gate a token: open, usual, shut within a chunk, shut within a token.
STRENGTHS = [1e-4, 0.05, 2.0, 30.0]
LENGTHS = [1, 2, 5, 64, 65, 150]


def draw(generator, *shape):
    return torch.randn(*shape, dtype=torch.float64, generator=generator)


def gates(generator, strength, *shape):
    """Log gates of which some are much stronger and some much milder than `strength`."""
    return -strength * torch.exp(2 * draw(generator, *shape))


def gradients(outputs, inputs, generator):
    """The inputs' gradients of a random sum of all outputs."""
    total = sum((output.double() * draw(generator, *output.shape)).sum() for output in outputs)
    return torch.autograd.grad(total, inputs)


def compare(compute, reference, inputs):
    """`compute` in float32 and float64 gives the reference's float64 outputs and gradients."""
    leaves = [x.clone().requires_grad_() for x in inputs]
    expected = reference(*leaves)
    expected_gradients = gradients(expected, leaves, torch.Generator().manual_seed(1))
    for dtype, bound in ((torch.float64, 1e-12), (torch.float32, 5e-6)):
        leaves = [x.to(dtype).requires_grad_() for x in inputs]
        outputs = compute(*leaves)
        for output, wanted in zip(outputs, expected):
            assert output.dtype == dtype
            assert relative_error(output, wanted) < bound
        found = gradients(outputs, leaves, torch.Generator().manual_seed(1))
        for gradient, wanted in zip(found, expected_gradients):
            assert gradient.isfinite().all()
            assert (gradient.double() - wanted).abs().max() <= bound * wanted.abs().max()


@pytest.mark.parametrize("strength", STRENGTHS)
@pytest.mark.parametrize("length", LENGTHS)
def test_gla(strength, length):
    generator = torch.Generator().manual_seed(length)
    batch, heads, keys, values = 2, 3, 5, 7
    q, k = (draw(generator, batch, length, heads, keys) for _ in range(2))
    v = draw(generator, batch, length, heads, values)
    g = gates(generator, strength, batch, length, heads, keys)
    state = draw(generator, batch, heads, keys, values)

    def reference(q, k, v, g, state):
        return recurrent_gla(q, k, v, g=g, scale=0.3, initial_state=state, output_final_state=True)

    compare(lambda q, k, v, g, s: chunk_gla(q, k, v, g, 0.3, s), reference, [q, k, v, g, state])


@pytest.mark.parametrize("strength", STRENGTHS)
@pytest.mark.parametrize("length", LENGTHS)
@pytest.mark.parametrize("groups", [1, 3])
def test_ssd(strength, length, groups):
    generator = torch.Generator().manual_seed(length)
    batch, heads, dim, size = 2, 6, 5, 7
    x = draw(generator, batch, length, heads, dim)
    dt = -gates(generator, strength, batch, length, heads)
    rate = -torch.rand(heads, dtype=torch.float64, generator=generator) - 0.1
    b, c = (draw(generator, batch, length, groups, size) for _ in range(2))
    state = draw(generator, batch, groups, size, heads // groups, dim)

    def reference(x, dt, rate, b, c, state):
        b, c = (y.repeat_interleave(heads // groups, dim=2) for y in (b, c))
        y, state = ssd_loop(x, dt, rate, b, c, torch.zeros(heads, dtype=x.dtype),
                            state.permute(0, 1, 3, 4, 2).flatten(1, 2))
        return y, state.unflatten(1, (groups, -1)).permute(0, 1, 4, 2, 3)

    compare(chunk_ssd, reference, [x, dt, rate, b, c, state])


def test_gla_keeps_mild_pairs_after_strong_gates():
    """A pair between which the gates are mild keeps its digits however strong the gates before it are."""
    generator = torch.Generator().manual_seed(0)
    q, k, v = (draw(generator, 1, 64, 1, 4) for _ in range(3))
    g = gates(generator, 1e-3, 1, 64, 1, 4)
    g[:, :8] = -1e6
    expected, _ = recurrent_gla(q, k, v, g=g)
    found, _ = chunk_gla(*(x.float() for x in (q, k, v, g)), 0.5, None)
    assert relative_error(found, expected) < 2e-6


def test_time_steps_without_bound():
    ones = torch.ones(1, 70, 2)
    dt = torch.where(torch.arange(70)[:, None] % 3 == 0, 1e30, 0.1).expand(1, 70, 2)
    inputs = [x.clone().requires_grad_() for x in (ones[..., None], dt, -torch.ones(2), ones[:, :, :1, None],
                                                   ones[:, :, :1, None])]
    y, _ = chunk_ssd(*inputs, None)
    assert y.isfinite().all()
    assert all(gradient.isfinite().all() for gradient in torch.autograd.grad(y.sum(), inputs))
