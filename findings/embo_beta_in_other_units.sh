#!/bin/sh
# embo 1.1.0: the beta that comes with a point of the bottleneck curve is not the inverse slope dI_X/dI_Y of the curve
# there, but that times ln 2 (informations are in bits, the exponent of the update is not).
set -eu
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/pip" install -q embo==1.1.0 "numpy<3" "scipy<2" 2>/dev/null
"$folder/venv/bin/python" -W ignore - <<'PY'
import sys
from importlib.metadata import version
import embo, numpy as np
from scipy.optimize import brentq

print("embo", version("embo"), "numpy", np.__version__)
np.random.seed(0)
flip = 0.1  # a binary symmetric channel, whose curve is known: T is X through another such channel, q
joint = np.array([[0.5 * (1 - flip), 0.5 * flip], [0.5 * flip, 0.5 * (1 - flip)]])
solver = embo.InformationBottleneck(pxy=joint, minbeta=1.6, maxbeta=4.0, numbeta=13, iterations=3000, restarts=3)
given, told, _, betas = (np.array(part) for part in solver.get_bottleneck())
entropy = lambda q: -(q * np.log2(q) + (1 - q) * np.log2(1 - q))
odds = lambda q: np.log((1 - q) / q)
ratios = []
for bits, beta in zip(given, betas):
    if 0.2 < bits < 0.98:
        q = brentq(lambda q: 1 - entropy(q) - bits, 1e-9, 0.5 - 1e-9)
        true = odds(q) / ((1 - 2 * flip) * odds(q * (1 - flip) + (1 - q) * flip))
        ratios.append(beta / true)
        print(f"I(T;X) {bits:.4f} bits: inverse slope of the exact curve {true:.4f}, embo says {beta:.4f}, ratio {ratios[-1]:.4f}")
holds = len(ratios) > 3 and np.all(np.abs(np.array(ratios) - np.log(2)) < 5e-3)
print(f"embo's beta is the inverse slope times ln 2 = {np.log(2):.4f}:", bool(holds))
sys.exit(not holds)
PY
