#!/bin/sh
# neural_tangents 0.6.5: an all-zero input without biases spoils predictions at finite times only as the first or the
# last training input, and t=None at any place. The kernel of that input is exactly 0, and predictions divide by it.
set -eu
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/pip" install -q "jax==0.4.30" "jaxlib==0.4.30" "numpy<2" "scipy<1.14" frozendict
"$folder/venv/bin/pip" install -q --no-deps neural-tangents==0.6.5
JAX_ENABLE_X64=1 "$folder/venv/bin/python" - <<'PY'
import sys, types
sys.modules["neural_tangents.experimental"] = types.ModuleType("experimental")  # needs tensorflow, not used here
import jax, numpy as np, neural_tangents as nt
from neural_tangents import stax

print("neural_tangents", nt.__version__, "jax", jax.__version__, "numpy", np.__version__)
rng = np.random.default_rng(0)
base, x_test, y = rng.normal(size=(6, 4)), rng.normal(size=(2, 4)), np.arange(1.0, 7.0)[:, None]
kernel_fn = stax.serial(stax.Dense(1, 1.5, None), stax.Erf(), stax.Dense(1, 1.5, None))[2]
bad = {}
for place in range(6):
    x = base.copy()
    x[place] = 0
    predict = nt.predict.gradient_descent_mse_ensemble(kernel_fn, x, y)
    bad[place] = [bool(np.isnan(predict(t=t, x_test=x_test, get="ntk")).any()) for t in (0.5, 10.0, None)]
    print(f"zero input at place {place} of 6: NaN at t=0.5, 10, None:", bad[place])
expected = {place: [place in (0, 5)] * 2 + [True] for place in range(6)}
print("finite times are spoilt at the first and last place only, t=None at every place:", bad == expected)
sys.exit(bad != expected)
PY
