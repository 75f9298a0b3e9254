#!/bin/sh
# dit 2.3: IBCurve with method "ba" stays at the trivial solution on a binary symmetric channel at every beta, also
# where more can be kept; method "sp" of the same class reaches the exact curve there.
set -eu
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/pip" install -q dit==2.3 "numpy<3" "scipy<2" 2>/dev/null
"$folder/venv/bin/python" -W ignore - <<'PY'
import sys
from importlib.metadata import version
import dit, numpy as np
from dit.rate_distortion import IBCurve
from scipy.optimize import brentq, minimize_scalar

print("dit", version("dit"), "numpy", np.__version__)
flip = 0.1
law = dit.Distribution.from_ndarray(np.array([[0.5 * (1 - flip), 0.5 * flip], [0.5 * flip, 0.5 * (1 - flip)]]))
entropy = lambda q: -(q * np.log2(q) + (1 - q) * np.log2(1 - q))
exact = lambda q: (1 - entropy(q), 1 - entropy(q * (1 - flip) + (1 - q) * flip))
found = {}
for method in ("ba", "sp"):
    np.random.seed(0)
    curve = IBCurve(law, rvs=[[0], [1]], beta_min=0.0, beta_max=8.0, beta_num=9, method=method)
    found[method] = curve
    print(method, "beta", curve.betas, "I(T;X)", np.round(curve.complexities, 4), "I(T;Y)", np.round(curve.relevances, 4))
short = []
for beta, x, y in zip(found["sp"].betas, found["sp"].complexities, found["sp"].relevances):
    if beta > 1 / (1 - 2 * flip) ** 2:
        best = minimize_scalar(lambda q: exact(q)[0] - beta * exact(q)[1], bounds=(1e-12, 0.5), method="bounded").fun
        short.append(((x - beta * y) - best) / beta)
print("sp: I(T;Y) short of the exact curve, bits, by beta above 1.5625:", np.round(short, 4))
trivial = np.max(np.abs(found["ba"].relevances)) < 1e-6
print("ba is trivial at every beta:", bool(trivial))
reached = max(short) < 1e-4
print("sp reaches the exact curve:", bool(reached))
sys.exit(not (trivial and reached))
PY
