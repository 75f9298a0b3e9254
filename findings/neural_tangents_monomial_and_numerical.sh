#!/bin/sh
# neural_tangents 0.6.5: kernels of equal inputs. RectifiedMonomial gives NaN; ElementwiseNumerical with 25 nodes is low
# for tanh, by 4 % at pre-activations of deviation 3 and by 18 % at 10.
set -eu
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/pip" install -q "jax==0.4.30" "jaxlib==0.4.30" "numpy<2" "scipy<1.14" frozendict
"$folder/venv/bin/pip" install -q --no-deps neural-tangents==0.6.5
JAX_ENABLE_X64=1 "$folder/venv/bin/python" -W ignore - <<'PY'
import sys, types
sys.modules["neural_tangents.experimental"] = types.ModuleType("experimental")  # needs tensorflow, not used here
import jax, jax.numpy as jnp, numpy as np, neural_tangents as nt
from neural_tangents import stax

print("neural_tangents", nt.__version__, "jax", jax.__version__, "numpy", np.__version__)
x = np.random.default_rng(0).normal(size=(2, 7))
monomial = {}
for degree in (1, 2, 3):
    kernel = np.asarray(stax.serial(stax.Dense(1), stax.RectifiedMonomial(degree), stax.Dense(1))[2](x, None, "nngp"))
    monomial[degree] = bool(np.isnan(np.diag(kernel)).all())
print("RectifiedMonomial: diagonal is NaN, by degree:", monomial)
points = np.linspace(-12, 12, 20001)
weights = np.exp(-(points**2) / 2) / np.exp(-(points**2) / 2).sum()
low = {}
for deviation in (1, 3, 5, 10):
    inputs = np.array([[deviation, 0.0]]) * np.sqrt(2)
    kernel_fn = stax.serial(stax.Dense(1, 1.0), stax.ElementwiseNumerical(jnp.tanh, 25), stax.Dense(1, 1.0))[2]
    low[deviation] = float(kernel_fn(inputs, None, "nngp")[0, 0] / np.sum(weights * np.tanh(deviation * points) ** 2) - 1)
print("ElementwiseNumerical(tanh, 25): relative error of the variance by deviation:", low)
holds = all(monomial.values()) and -0.06 < low[3] < -0.001 and low[10] < -0.1
print("as described:", bool(holds))
sys.exit(not holds)
PY
