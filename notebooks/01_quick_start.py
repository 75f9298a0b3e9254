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
# # Quick start
#
# **Claim.** The output of an infinitely wide network has a closed-form Gaussian law at every training time. From that
# law follows how much the output says about its input, its target and the training set, without training anything.
#
# Ten lines make the curves.

# %%
# %matplotlib inline
# %config InlineBackend.figure_format = "retina"
import numpy as np

import ntkinfo as ni
from ntkinfo.core.progress import silent

data = ni.data.digits(n_train=256, n_test=256, seed=0)
network = ni.FullyConnected(depth=3, activation="erf", w_std=1.5, b_std=0.1)
times = ni.log_times(1e-5, 1e3, 120, infinity=True)
curves = ni.information_curves(network, data, times, progress=silent)
figure = ni.curves_figure(curves)
figure

# %% [markdown]
# Solid lines are training inputs, dashed lines test inputs; the point at the right edge is infinite time. What the
# panels say:
#
# - **Losses (a to d).** The mean of the ensemble learns quickly and generalises well; a single member carries the
#   variance of its initialisation on top, and on test inputs never loses all of it.
# - **I(Z;X) (e).** At the start the outputs hardly depend on the input: the information is near 0. Training separates
#   them. Shaded are deterministic bounds; the curve is Monte Carlo with a standard error.
# - **I(Z;Y) (f).** On the training inputs the output ends up naming the class: the entropy of ten balanced classes.
# - **I(Z;D|X) (g)** and **parameters (h).** Both grow without bound on the training inputs: a deterministic path can
#   always be told from its start. On test inputs the bound settles.
#
# Each variable says what it is.

# %%
for name in ("loss_bayes", "information_input", "information_training_set", "information_parameters"):
    print(f"{name:26} {curves[name].attrs['units']:4} {curves[name].attrs['meaning']}")

# %% [markdown]
# ## One step at a time
#
# Kernels, then the law of the outputs under a training procedure, then anything that follows from the law.

# %%
blocks = ni.kernel_blocks(network, data, progress=silent)
law = ni.output_distribution(blocks, data, ni.GradientFlow(), times)
print("mean", law.mean.shape, "variance", law.variance.shape, "at t = 0.1:", law.covariance(0.1).shape)
print("error of the time factorisation: at most", f"{law.test.variance_error.max():.1e}")

# %% [markdown]
# The law at infinite time against its textbook form, computed the direct way.

# %%
solve = np.linalg.solve(blocks.train.ntk, np.column_stack([data.y_train, blocks.test.ntk.T, blocks.test.nngp.T]))
mean = blocks.test.ntk @ solve[:, :10]
gain = solve[:, 10:266].T
variance = (
    blocks.test.nngp_diagonal
    - 2 * np.sum(gain * blocks.test.nngp, axis=1)
    + np.sum((gain @ blocks.train.nngp) * gain, axis=1)
)
difference_mean = np.abs(mean - law.mean[-1]).max()
difference_variance = np.abs(variance - law.variance[-1]).max()
print(f"largest difference: mean {difference_mean:.1e}, variance {difference_variance:.1e}")
assert difference_mean < 1e-8
assert difference_variance < 1e-8

# %% [markdown]
# ## Bounds enclose the value

# %%
value, error = curves.information_input, curves.information_input_standard_error
inside = (curves.information_input_lower <= value + 5 * error + 1e-9) & (
    value <= curves.information_input_upper + 5 * error + 1e-9
)
assert bool(inside.all())
end = curves.isel(time=-1)
print("at infinite time, nats:")
for split in ("train", "test"):
    row = end.sel(split=split)
    print(
        f"  {split:5} I(Z;X) = {float(row.information_input):.3f} ± {float(row.information_input_standard_error):.3f}"
        f"   I(Z;Y) = {float(row.information_target):.3f} ± {float(row.information_target_standard_error):.3f}"
    )

# %%
from IPython.display import Markdown

shares = np.bincount(data.labels_train) / len(data.labels_train)
entropy = -np.sum(shares * np.log(shares))
train, test = end.sel(split="train"), end.sel(split="test")
off = max(abs(float(train[name]) - entropy) for name in ("information_input", "information_target"))
assert off < 1e-6
Markdown(f"""
**Verdict.** The claim holds here. The law agrees with direct linear algebra to
{max(difference_mean, difference_variance):.0e}; all {inside.size} values of I(Z;X) lie between their bounds, to five
standard errors; and on the training inputs I(Z;X) and I(Z;Y) end at the entropy of the classes, {entropy:.3f} nats. On
test inputs one member tells {float(test.information_target):.2f} of them.
""")
