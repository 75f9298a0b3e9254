import numpy as np
import pytest

from ntkinfo.core.records import Estimate
from ntkinfo.finite.noisy import NoisyNetwork, NoisyRun
from ntkinfo.finite.noisy_neuron import NeuronPath
from ntkinfo.finite.noisy_plane import ClusteringPlane, NoisyPlane, compression, tracking
from ntkinfo.finite.noisy_study import NoisyStudy
from ntkinfo.report.noisy_figure import noisy_figure
from ntkinfo.report.style import save_figure

BIT = np.log(2)
STEPS = np.array([0, 10, 100, 1000])


@pytest.fixture
def study():
    """Two layers and three members that fall from known heights."""
    random = np.random.default_rng(0)
    base = np.array([2.0, 3.0, 2.5, 1.0])[:, None, None] * np.array([1.0, 0.5])[None, None, :]
    values = base + 0.1 * random.normal(size=(1, 3, 1))
    bracket = np.stack([values - 0.05, values + 0.05])
    informations = Estimate(values, 0.1 + 0 * values, "Monte Carlo")
    plane = NoisyPlane(STEPS, informations, bracket, Estimate(0.2 * values, 0 * values, "Monte Carlo"), bracket, 3.5)
    clusters = ClusteringPlane(STEPS, values, 0.2 * values, 0.3 * values, values, 0.5, 3.5)
    network = NoisyNetwork((3, 4, 3, 2))
    run = NoisyRun(network, STEPS, [], np.zeros((4, 3)), np.zeros((4, 3)), None)
    fall, follow = compression(STEPS, values), tracking(values, values)
    return NoisyStudy(run, plane, clusters, run, clusters, fall, fall, fall, follow, follow)


@pytest.fixture
def neuron():
    values = np.array([[0.1], [1.0], [0.8], [0.6]])
    return NeuronPath(STEPS, values, values, Estimate(values, 0 * values, "quadrature"))


@pytest.mark.parametrize("bits", [True, False])
def test_lines_are_the_members_means(study, neuron, bits):
    figure = noisy_figure(study, neuron, bits)
    assert len(figure.axes) == 6
    scale = 1 / BIT if bits else 1.0
    wanted = scale * np.asarray(study.plane.information_input.value).mean(axis=1)
    first = figure.axes[0]
    for layer in range(2):
        drawn = [line for line in first.lines if len(line.get_xdata()) == 3][layer]
        np.testing.assert_allclose(drawn.get_ydata(), wanted[1:, layer])
    assert ("bit" if bits else "nat") in first.get_ylabel()
    assert any(np.allclose(line.get_ydata(), scale * 3.5) for line in first.lines)
    ratio = next(line for line in figure.axes[4].lines if len(line.get_xdata()) == 3)
    np.testing.assert_allclose(ratio.get_ydata(), 0.3)
    assert figure.axes[5].get_title(loc="left").endswith("One neuron")


def test_bands_hold_the_bracket(study):
    figure = noisy_figure(study, bits=False)
    assert len(figure.axes) == 5
    band = figure.axes[0].collections[0].get_paths()[0].get_extents()
    mean = np.asarray(study.plane.information_input.value).mean(axis=1)[1:, 0]
    assert band.height > np.ptp(mean) + 2 * 2 * 0.05 - 1e-9


def test_it_can_be_saved(study, neuron, tmp_path):
    save_figure(noisy_figure(study, neuron), tmp_path / "noisy.pdf")
    assert (tmp_path / "noisy.pdf").stat().st_size > 5000
