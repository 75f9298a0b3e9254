"""What is computed where neural_tangents cannot be imported, and what says so."""

import json
import subprocess
import sys
from importlib.metadata import PackageNotFoundError

import jax
import numpy as np
import pytest

import ntkinfo as ni
from ntkinfo.cli import run
from ntkinfo.core import versions
from ntkinfo.core.arrays import float64
from ntkinfo.finite.networks import member_network
from ntkinfo.kernels.activations import ACTIVATION_NAMES
from ntkinfo.kernels.depth_family import depth_family_blocks
from tests.cli_helpers import SMALL

WORDS = [*SMALL, "--quantities", "loss_mean,information_input,information_training_set"]

IMAGES = np.random.default_rng(0).normal(size=(2, 3, 3, 1))
KERNELS = """
import numpy as np, ntkinfo as ni
images = np.random.default_rng(0).normal(size=(2, 3, 3, 1))
data = ni.Dataset(images, np.ones((2, 1)), images[:1], np.ones((1, 1)))
networks = [ni.Convolutional(1, "relu", readout="global_average_pool"), ni.WideResidual(1, groups=1)]
found = [ni.kernel_blocks(network, data).train.ntk.tolist() for network in networks]
descent, settings = ni.GradientDescent(step_size=0.1), ni.EnsembleSettings(members=2, kernel_inputs=1)
times = np.array([0.0, 1.0])
members = ni.train_ensemble(ni.FullyConnected(1), data, times, procedure=descent, width=4, settings=settings)
found.append(members.test.tolist())
"""
WITHOUT = """
import json, sys
class Gone:
    def find_spec(self, name, path=None, target=None):
        if name.split(".")[0] == "neural_tangents":
            raise ModuleNotFoundError(f"No module named {name!r}", name=name)

sys.meta_path.insert(0, Gone())
exec(sys.argv[1])
from ntkinfo.cli import run
assert run(["curves", *sys.argv[2:], "--quiet", "--out", "without"]) == 0
from ntkinfo import doctor
states = {finding.name: finding.state for finding in doctor.examine()}
assert states[doctor.OWN] == "ok" and {states[name] for name in doctor.CHECKS} == {"failed"}, states
try:
    ni.stax
except ImportError as error:
    json.dump([found, str(error)], open("found.json", "w"))
"""


def test_the_product_runs_in_a_process_that_cannot_import_neural_tangents(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    words = [sys.executable, "-c", WITHOUT, KERNELS, *WORDS]
    done = subprocess.run(words, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    found, said = json.loads((tmp_path / "found.json").read_text())
    assert "neural-tangents is not installed" in said
    assert "keep their kernels" in said
    here: dict = {}
    exec(KERNELS, here)
    for without, with_it in zip(found, here["found"], strict=True):
        np.testing.assert_allclose(without, with_it, rtol=1e-13)
    assert run(["curves", *WORDS, "--quiet", "--out", "with"]) == 0
    one, two = (ni.load_curves(tmp_path / folder / "curves.nc") for folder in ("with", "without"))
    assert one.drop_attrs().identical(two.drop_attrs())


@pytest.mark.parametrize("activation", ACTIVATION_NAMES)
def test_finite_networks_are_those_of_stax(activation):
    network = ni.FullyConnected(2, activation, 1.3, 0.0 if activation == "sine" else 0.3)
    with float64():
        key, shape = jax.random.key(3), (-1, 3, 3, 1)
        triple, own = network.layers(4, 2), network.functions(4, 2)
        (sides, theirs), (own_sides, ours) = triple[0](key, shape), own[0](key, shape)
        assert tuple(sides) == own_sides
        assert jax.tree.structure(theirs) == jax.tree.structure(ours)
        for one, other in zip(jax.tree.leaves(theirs), jax.tree.leaves(ours), strict=True):
            np.testing.assert_array_equal(one, other)
        np.testing.assert_allclose(own[1](ours, IMAGES), triple[1](theirs, IMAGES), rtol=1e-13, atol=1e-15)


def test_kernels_and_finite_networks_refuse_a_jax_that_is_too_old(monkeypatch):
    monkeypatch.setattr(jax, "__version_info__", (0, 6, 0))
    monkeypatch.setattr(jax, "__version__", "0.6.0")
    network = ni.FullyConnected(1)
    data = ni.Dataset(np.eye(2), np.ones((2, 1)), np.eye(2), np.ones((2, 1)))
    for compute in (
        lambda: ni.kernel_blocks(network, data),
        lambda: depth_family_blocks(network, data, [1]),
        lambda: member_network(network, data.x_train, 1, 4),
    ):
        with pytest.raises(ImportError, match=r"needs jax 0\.6\.1 or newer, this is 0\.6\.0"):
            compute()


def test_versions_of_results_say_what_is_not_installed(monkeypatch):
    def missing(name):
        raise PackageNotFoundError(name)

    monkeypatch.setattr(versions, "version", missing)
    assert versions.versions()["neural_tangents"] == "none"
