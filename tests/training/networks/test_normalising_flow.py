"""The flow is invertible, its log-determinant is the Jacobian's, and its likelihood is a density's."""

import math

import pytest
import torch
from scipy.stats import norm

from fitlib.errors import InputError
from fitlib.training.networks.normalising_flow import Coupling, Flow, InvertibleConvolution, negative_log_likelihood


def made(module: torch.nn.Module, seed: int = 0, spread: float = 0.2) -> torch.nn.Module:
    """The module with parameters moved away from their start, where scales are 1 and shifts 0."""
    torch.manual_seed(seed)
    with torch.no_grad():
        for parameter in module.parameters():
            parameter.add_(spread * torch.randn_like(parameter))
    return module


def tiny(dtype: torch.dtype = torch.float64, spread: float = 0.2) -> Flow:
    torch.manual_seed(1)
    return made(Flow((1, 4, 4), levels=2, blocks=2, hidden=4), spread=spread).to(dtype)


@pytest.mark.parametrize(("shape", "levels"), [((1, 4, 4), 1), ((1, 4, 4), 2), ((3, 8, 16), 3), ((2, 6, 10), 1)])
def test_the_inverse_returns_the_images(shape, levels):
    torch.manual_seed(2)
    flow = made(Flow(shape, levels=levels, blocks=2, hidden=8), spread=0.05)
    x = torch.rand(5, *shape) * 2 - 1
    z, logdet = flow(x)
    assert z.shape == (5, math.prod(shape)) and logdet.shape == (5,)
    assert torch.allclose(flow.inverse(z), x, atol=1e-4)
    assert torch.allclose(flow.double().inverse(flow(x.double())[0]), x.double(), atol=1e-12)


@pytest.mark.parametrize("which", range(3))
def test_the_log_determinant_is_that_of_the_jacobian(which):
    flow, x = tiny(), torch.rand(3, 1, 4, 4, dtype=torch.float64)
    jacobian = torch.autograd.functional.jacobian(lambda one: flow(one[None])[0][0], x[which]).reshape(16, 16)
    assert flow(x)[1][which].item() == pytest.approx(torch.linalg.slogdet(jacobian)[1].item(), rel=1e-10)
    assert abs(flow(x)[1][which].item()) > 0.1


def test_the_1x1_convolution_starts_as_a_rotation_and_keeps_its_factors():
    torch.manual_seed(0)
    layer = InvertibleConvolution(6).double()
    lower, upper = layer.factors()
    weight = layer.permutation @ lower @ upper
    assert torch.allclose(weight @ weight.T, torch.eye(6, dtype=torch.float64), atol=1e-5)
    assert layer.log_s.sum().item() == pytest.approx(0, abs=1e-5)
    moved = made(layer)
    lower, upper = moved.factors()
    assert torch.equal(lower.diagonal(), torch.ones(6, dtype=torch.float64)) and not lower.triu(1).any()
    assert torch.allclose(upper.diagonal().abs().log(), moved.log_s)
    x = torch.rand(2, 6, 3, 5, dtype=torch.float64)
    y, logdet = moved(x)
    weight = moved.permutation @ lower @ upper
    assert torch.allclose(y, torch.einsum("oc,nchw->nohw", weight, x))
    assert logdet.item() == pytest.approx(15 * torch.linalg.slogdet(weight)[1].item())


def test_a_coupling_passes_the_first_half_and_scales_the_second_between_a_half_and_three_halves():
    torch.manual_seed(0)
    layer = made(Coupling(4, 8), spread=1.0)
    x = torch.randn(3, 4, 5, 5)
    y, logdet = layer(x)
    scale, shift = layer.scale_and_shift(x[:, :2])
    assert torch.equal(y[:, :2], x[:, :2]) and torch.allclose(y[:, 2:], scale * x[:, 2:] + shift)
    assert scale.min() >= 0.5 and scale.max() <= 1.5 and scale.std() > 0.05
    assert torch.allclose(logdet, scale.log().sum((1, 2, 3)))


def test_couplings_start_near_the_identity():
    torch.manual_seed(0)
    layer, x = Coupling(12, 32), torch.randn(4, 12, 8, 8)
    assert torch.allclose(layer(x)[0], x, atol=0.05)


def test_the_likelihood_is_that_of_a_standard_normal_in_nats_per_dimension():
    z = torch.randn(7, 11, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    by_scipy = -norm.logpdf(z.numpy()).mean()
    assert negative_log_likelihood(z, torch.zeros(7)).item() == pytest.approx(by_scipy)
    assert negative_log_likelihood(z, torch.full((7,), 5.5)).item() == pytest.approx(by_scipy - 0.5)


def test_the_flow_defines_a_density_that_integrates_to_one():
    flow = made(Flow((1, 2, 2), levels=1, blocks=2, hidden=4)).double()
    generator = torch.Generator().manual_seed(0)
    x = 2 * torch.randn(40000, 1, 2, 2, generator=generator, dtype=torch.float64)  # importance samples, SD 2
    with torch.no_grad():
        z, logdet = flow(x)
    log_p = torch.distributions.Normal(0, 1).log_prob(z).sum(1) + logdet
    log_q = torch.distributions.Normal(0, 2).log_prob(x).sum((1, 2, 3))
    assert (log_p - log_q).exp().mean().item() == pytest.approx(1, abs=0.1)


def test_channels_are_factored_out_in_order():
    flow = Flow((3, 64, 64), levels=3, blocks=1, hidden=1)
    assert flow.shapes == [(12, 32, 32), (24, 16, 16), (48, 8, 8)]
    assert flow.part_sizes() == [6144, 3072, 3072] and flow.size == 12288
    one = Flow((1, 4, 4), levels=2, blocks=0, hidden=1)
    x = torch.arange(16.0).reshape(1, 1, 4, 4)
    split = torch.nn.functional.pixel_unshuffle(x, 2)
    expected = torch.cat([split[:, :2].flatten(), torch.nn.functional.pixel_unshuffle(split[:, 2:], 2).flatten()])
    assert torch.equal(one(x)[0][0], expected)


def test_images_that_cannot_be_halved_are_refused():
    with pytest.raises(InputError, match=r"method: levels = 3: height and width of the images, \(3, 32, 36\)"):
        Flow((3, 32, 36), 3, 32, 512)


@pytest.mark.slow
def test_the_full_flow_has_the_study_s_size_and_inverts_one_image():
    torch.manual_seed(0)
    flow = Flow((3, 64, 64), 3, 32, 512)
    per_block = [2 * c * c + c + 9 * (c // 2) * 512 + 512 + 512 * 512 + 512 + 9 * 512 * c + c for c in (12, 24, 48)]
    assert sum(p.numel() for p in flow.parameters()) == 32 * sum(per_block) == 44_042_496
    x = torch.rand(1, 3, 64, 64) * 2 - 1
    with torch.no_grad():
        z, logdet = flow(x)
        assert z.shape == (1, 12288) and torch.isfinite(logdet).all()
        assert torch.allclose(flow.inverse(z), x, atol=1e-3)
