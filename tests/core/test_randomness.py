import re
from pathlib import Path

import jax
import numpy as np

import ntkinfo as ni
from ntkinfo.core.progress import silent

PACKAGE = Path(ni.__file__).parent


def members(count):
    rng = np.random.default_rng(0)
    data = ni.Dataset(
        rng.normal(size=(4, 3)), rng.normal(size=(4, 1)), rng.normal(size=(2, 3)), rng.normal(size=(2, 1))
    )
    settings = ni.EnsembleSettings(members=count)
    return ni.train_ensemble(
        ni.FullyConnected(depth=1),
        data,
        np.array([0.0, 0.5]),
        procedure=ni.GradientDescent(step_size=0.1),
        width=8,
        settings=settings,
        progress=silent,
    ).test


def test_members_are_the_same_under_another_generator_and_in_another_number():
    right = members(5)
    with jax.default_prng_impl("rbg"):
        np.testing.assert_allclose(members(3), right[:, :3], rtol=1e-12)


def test_no_module_makes_keys_of_its_own():
    found = [path.name for path in PACKAGE.rglob("*.py") if re.search(r"random\.(key|PRNGKey)\(", path.read_text())]
    assert found == ["randomness.py"]
