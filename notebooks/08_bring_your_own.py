# ---
# jupyter:
#   jupytext:
#     formats: ipynb,py:percent
#     text_representation:
#       extension: .py
#       format_name: percent
#       format_version: '1.3'
#       jupytext_version: 1.19.6
#   kernelspec:
#     display_name: Python 3
#     language: python
#     name: python3
# ---

# %% [markdown]
# # Bring your own architecture and data
#
# **Claim.** Nothing here depends on the architectures and data that are built in. Any network that
# `neural_tangents.stax` can express, and any table in a file, go through the same functions, with the same errors,
# bounds and certificates; and networks of that architecture, trained at finite width, follow the law computed for it.
#
# The example: a residual network with an activation of our own, on a table that is written to a file first.
#
# ## Data from files

# %%
# %matplotlib inline
# %config InlineBackend.figure_format = "retina"
import tempfile
import textwrap
import warnings
from dataclasses import replace
from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np
from IPython.display import Markdown
from sklearn.datasets import load_breast_cancer

import ntkinfo as ni
from ntkinfo import stax
from ntkinfo.core.progress import silent
from ntkinfo.kernels.activations import NumericalActivation
from ntkinfo.report.comparison_dataset import comparison_dataset

folder = Path(tempfile.mkdtemp())
raw = load_breast_cancer(as_frame=True)
table = raw.data.assign(diagnosis=raw.target_names[raw.target])
table.to_csv(folder / "cells.csv", index=False)
table.to_parquet(folder / "cells.parquet", index=False)
np.savez(folder / "cells.npz", x=raw.data.to_numpy(), y=table["diagnosis"].to_numpy(dtype=str))
table.iloc[:3, [0, 1, 2, 29, 30]]

# %% [markdown]
# The readers split by class, standardise with the training part's mean and deviation, and make the targets. Classes go
# by name unless their order is given. Three formats, one data set; and the same as the bundled loader makes.

# %%
options = {"n_train": 160, "n_test": 160, "seed": 0, "targets": "pair", "classes": ("malignant", "benign")}
data = ni.data.csv(folder / "cells.csv", target="diagnosis", **options)
read = {
    "csv": data,
    "parquet": ni.data.parquet(folder / "cells.parquet", target="diagnosis", **options),
    "npz": ni.data.npz(folder / "cells.npz", **options),
    "bundled": ni.data.breast_cancer(n_train=160, n_test=160, seed=0),
}
for name, one in read.items():
    print(f"{name:8} x_train {one.x_train.shape}, classes {one.class_names}, fingerprint {one.fingerprint[:16]}")
assert len({one.fingerprint for one in read.values()}) == 1
{key: value for key, value in data.provenance.items() if key != "features"}

# %% [markdown]
# ## An architecture of your own
#
# Two residual blocks with the activation $x\,\sigma(2x)$, which `stax` does not have. `NumericalActivation` takes any
# smooth elementwise function: its kernels follow from integrals, and it says what its expansion leaves out.

# %%
# neural_tangents warns that it does not verify that the branches of a sum are independent. Here they are: what a block
# adds comes from a dense layer of its own. Trained networks, below, would show it otherwise.
warnings.filterwarnings("ignore", message="`FanIn` layers assume")
swish = NumericalActivation("swish 2", lambda x: x * jax.nn.sigmoid(2 * x))


def residual(width):
    """A stax triple: dense, two blocks x + dense(swish(x)), swish, dense readout with one output."""
    block = stax.serial(
        stax.FanOut(2),
        stax.parallel(stax.serial(swish.layer(), stax.Dense(width, W_std=1.0, b_std=0.1)), stax.Identity()),
        stax.FanInSum(),
    )
    first, last = stax.Dense(width, W_std=1.2, b_std=0.1), stax.Dense(1, W_std=1.2, b_std=0.1)
    triple = stax.serial(first, block, block, swish.layer(), last)
    return ni.StaxNetwork(*triple, name="residual swish", input_shape=(30,))


network = residual(128)
blocks = ni.kernel_blocks(network, data, progress=silent)
print(network.describe())
print(f"eigenvalues of the kernel {np.linalg.eigvalsh(blocks.train.ntk)[[0, -1]]}")
print("left out of an activation's kernel by its expansion, relative:", end=" ")
print(", ".join(f"{swish.truncation_error(v, 0.99):.0e} at variance {v}" for v in (1.0, 5.0)))

# %% [markdown]
# ## Curves, and a second opinion on them

# %%
times = ni.log_times(1e-5, 1e2, 60, infinity=True)
law = ni.output_distribution(blocks, data, ni.GradientFlow(), times)
curves = ni.curves_of(law, progress=silent)
ni.curves_figure(curves)

# %%
certificate = ni.certify(law, curves, share=0.1, seed=0)
print(f"{'quantity':32} values  largest discrepancy (stated errors)  at")
for finding in certificate.findings:
    print(f"{finding.quantity:32} {finding.checked:6} {finding.largest:12.2g} {'':24}{finding.where}")
print(certificate.verdict)
assert certificate.passed
assert certificate.checked > 100
end = curves.isel(time=-1).sel(split="test")
entropy = -np.sum((p := np.bincount(data.labels_test) / len(data.labels_test)) * np.log(p))

# %% [markdown]
# ## Beside networks that are trained
#
# The law is that of infinite width. Ensembles of the same triple at two widths are trained by gradient descent and held
# against the law of the same steps. Where the deviation from the law exceeds what chance explains, the comparison says
# from when on.

# %%
step = float(0.25 / np.linalg.eigvalsh(blocks.train.ntk)[-1])
descent = ni.GradientDescent(step_size=step)
recorded = step * np.array([1, 2, 4, 8, 16, 32])
discrete = ni.output_distribution(blocks, data, descent, recorded)
comparator = ni.Comparator(discrete, ni.ComparisonSettings(rounding=1e-5))
settings = ni.EnsembleSettings(members=64, seed=0, precision="float32", kernel_inputs=16)
results = []
for width in (16, 128):
    outputs = ni.train_ensemble(residual(width), data, recorded, procedure=descent, settings=settings, progress=silent)
    # A triple does not say which of its sizes is "the" width: it is named here, for tables and figures.
    results.append(ni.study_width(replace(outputs, width=width), comparator))
    text = f"width {width}, {results[-1].n_parameters} parameters: {results[-1].verdict.sentence}"
    print(textwrap.fill(text, 110, subsequent_indent="    "))

# %%
ni.comparison_figure(comparison_dataset(results, [], discrete, comparator.settings.level))

# %% [markdown]
# ## Common mistakes and what is said about them
#
# Bad input is refused before any long work.


# %%
def said(what, call):  # only the beginning of a long message is shown
    """What is said about a mistake; an error here if nothing is."""
    try:
        call()
    except (TypeError, ValueError, FileNotFoundError) as error:
        text = f"{type(error).__name__}: {error}".replace(f"{folder}/", "")
        print(f"{what}\n{textwrap.indent(textwrap.fill(textwrap.shorten(text, 330), 106), '    ')}")
        return 1
    raise AssertionError(f"{what}: nothing was said")


cells, x, y = folder / "cells.csv", data.x_train, data.y_train
holes = table.copy()
holes.loc[3, "mean area"] = None
holes.to_csv(folder / "holes.csv", index=False)
dropout = stax.serial(stax.Dense(8), stax.Erf(), stax.Dropout(0.9), stax.Dense(1))
mistakes = {
    "a column that is not there": lambda: ni.data.csv(cells, target="diagnose"),
    "a hole in the table": lambda: ni.data.csv(folder / "holes.csv", target="diagnosis"),
    "numbers where classes were expected": lambda: ni.data.csv(cells, target="mean area", features=["mean radius"]),
    "more inputs than there are": lambda: ni.data.csv(cells, target="diagnosis", n_train=500, n_test=160),
    "an option misspelt": lambda: ni.data.csv(cells, target="diagnosis", standardize=False),
    "targets without an axis of outputs": lambda: ni.Dataset(x_train=x, y_train=y[:, 0], x_test=x, y_test=y[:, 0]),
    "NaN in an array": lambda: ni.Dataset(x_train=x * np.nan, y_train=y, x_test=x, y_test=y),
    "an input shape that is not the data's": lambda: ni.kernel_blocks(replace(network, input_shape=(31,)), data),
    "an activation that is not elementwise": lambda: NumericalActivation("sum", jnp.sum),
    "a random layer": lambda: ni.StaxNetwork(*dropout, name="mine", input_shape=(30,)),
    "a width for a triple that has one": lambda: network.layers(width=512),
    "steps that diverge": lambda: ni.output_distribution(blocks, data, ni.GradientDescent(step_size=9 * step), times),
    "infinite time for trained networks": lambda: ni.train_ensemble(network, data, times, procedure=descent),
}
caught = sum(said(what, call) for what, call in mistakes.items())

# %%
narrow, wide = results
falls = narrow.drift.value[-1] / wide.drift.value[-1]
shape = "is not rejected as normal" if wide.verdict.gaussian else "is not normal"
departs = "agrees too" if narrow.verdict.agrees else "departs from it"
assert wide.verdict.agrees
assert falls > 2
assert caught == len(mistakes)
Markdown(f"""
**Verdict.** The claim holds in this example.

- *Data.* {len(read)} roads to the same data set, equal in every bit of every array.
- *Law.* {certificate.checked} values of {len(certificate.findings)} quantities, computed a second time by other routes,
  agree within {certificate.largest:.1f} stated errors. On test inputs, trained to the end, one member's output tells
  {float(end.information_target):.3f} of the {entropy:.3f} nats of the class.
- *Trained networks.* {wide.members} residual networks of width {wide.width} agree with the law in mean and variance at
  all {len(recorded)} recorded times (a mean that is off by {wide.verdict.seen[0]:.2f} deviations would have
  shown) and their shape {shape}. Width {narrow.width} {departs}. The kernel moves {falls:.1f} times as far at width
  {narrow.width} as at width {wide.width}.
- *Mistakes.* All {caught} were refused with a message that says what was given and what is needed.
""")
