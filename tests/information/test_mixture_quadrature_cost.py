"""One output: cost and accuracy over thousands of components, whatever their geometry."""

import numpy as np
import pytest

from ntkinfo.information import mixture_quadrature
from ntkinfo.information.mixture_quadrature import entropy_quadrature


def components(kind, m):
    random = np.random.default_rng(3)
    if kind == "spread":
        return random.normal(size=m), 10 ** random.uniform(-8, 0, m)
    if kind == "clusters":
        centres = np.repeat(random.normal(size=m // 250), 250)
        return centres + 1e-6 * random.normal(size=m), 10 ** random.uniform(-8, 0, m)
    if kind == "one centre":
        return np.zeros(m), np.geomspace(1e-8, 1, m)
    if kind == "narrow in one wide":
        return random.normal(size=m), np.append(np.full(m - 1, 1e-8), 1.0)
    return 1e-3 * random.normal(size=m), np.exp(0.1 * random.normal(size=m))


KINDS = ["spread", "clusters", "one centre", "narrow in one wide", "overlapping"]


@pytest.mark.parametrize("kind", KINDS)
def test_density_evaluations_are_proportional_to_the_components(kind, monkeypatch):
    """At most 14 cells of 16 nodes for each component, so 0.045 m² evaluations at m = 5000."""
    pairs = []
    densities = mixture_quadrature._densities

    def counted(level, parts, entering):
        pairs.append(int(np.sum(entering)))
        return densities(level, parts, entering)

    monkeypatch.setattr(mixture_quadrature, "_densities", counted)
    mean, std = components(kind, 5000)
    result = entropy_quadrature(mean, std**2)
    assert result.standard_error < 1e-9
    assert 5000 <= sum(pairs) < 14 * 5000


@pytest.mark.parametrize("kind", KINDS)
def test_error_covers_a_change_of_the_tolerance(kind):
    """1e-9 and 1e-12 enter components at different cells and cut different windows."""
    mean, std = components(kind, 3000)
    coarse, fine = (entropy_quadrature(mean, std**2, tolerance=tolerance) for tolerance in (1e-9, 1e-12))
    assert abs(coarse.value - fine.value) <= coarse.standard_error + fine.standard_error
    assert fine.standard_error < 2e-12
    assert coarse.standard_error < 1e-9


def test_against_a_grid_at_every_scale():
    """1000 components within one centre at widths over eight decades: symmetric, so a grid in log |z| integrates it."""
    random = np.random.default_rng(4)
    std = 10 ** random.uniform(-8, 0, 1000)
    weights = random.dirichlet(np.ones(1000))
    u = np.arange(np.log(1e-24), np.log(12), 0.01)
    z = np.exp(u)
    density = np.exp(-0.5 * (z[:, None] / std[None, :]) ** 2) @ (weights / (std * np.sqrt(2 * np.pi)))
    # Trapezoidal rule in u: spectrally accurate, the integrand vanishes at both ends.
    expected = -2 * 0.01 * np.sum(z * density * np.log(np.maximum(density, 1e-300)))
    result = entropy_quadrature(np.zeros(1000), std**2, weights, 1e-12)
    assert abs(result.value - expected) < 1e-11
