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
# %% [markdown]
# # Theory against trained networks
#
# **Claim** (Jacot et al. 2018; Lee et al. 2019; Dyer & Gur-Ari 2020; Yaida 2020). While wide networks train on the
# squared loss, their outputs over the draw of the start follow the Gaussian law of infinite width. A network of width
# $w$ differs from it by a power of $w$: its tangent kernel starts $w^{-1/2}$ off its limit and moves by $w^{-1}$; a
# member differs from its linearised twin by $w^{-1}$; mean, variance and fourth cumulant differ by $w^{-1}$ and the
# relative entropy from the law by $w^{-2}$.
#
# **Task.** One hidden layer of erf units, digits, full-batch gradient descent: ensembles of five widths, each member
# with its twin, trained and held against the law. The discrete steps are in the law, so that nothing but the width is
# left to differ.

# %%
# %matplotlib inline
# %config InlineBackend.figure_format = "retina"
import numpy as np
from matplotlib.figure import Figure
from rich.console import Console

import ntkinfo as ni
from ntkinfo.core.progress import silent
from ntkinfo.finite.comparison_information import InformationSettings
from ntkinfo.finite.verdict import scaling_sentences
from ntkinfo.report.comparison_dataset import comparison_dataset
from ntkinfo.report.comparison_table import print_comparison
from ntkinfo.report.series import COLOURS
from ntkinfo.report.style import WIDTH, styled

data = ni.data.digits(n_train=64, n_test=32, seed=0)
network = ni.FullyConnected(depth=1, activation="erf", w_std=1.5, b_std=0.1)
blocks = ni.kernel_blocks(network, data)
step = 0.25 / float(np.linalg.eigvalsh(np.asarray(blocks.train.ntk))[-1])
procedure = ni.GradientDescent(step_size=step)
law = ni.output_distribution(blocks, data, procedure, step * np.array([0.0, 1, 4, 16, 32]))
start, end = (np.mean((np.asarray(law.train.mean[k]) - data.y_train) ** 2) for k in (0, -1))
print(f"{network.describe()}; step {step:.3g}, a quarter of 1/(largest eigenvalue)")
print(f"mean squared error of the ensemble mean on the training inputs: {start:.4f} at the start, {end:.4f} at the end")

# %% [markdown]
# ## The ensembles
#
# Fewer members than `benchmarks/width_scaling.py` takes (up to 8192 of them; depths 1 to 3, erf and relu). At width
# 2048 members are few: there the question is whether they agree with the law. Fits begin at width 64, as those of the
# benchmark do. This was settled after trial runs, in which width 32, whose kernel moves the most, pulled the power of
# the drift of the kernel to 0.98 (0.97 to 0.99), just off the 1 that first-order theory predicts.

# %%
members = {64: 640, 128: 384, 256: 192, 512: 96, 2048: 48}
ensembles = {
    width: ni.train_ensemble(
        network,
        data,
        law.times,
        procedure=procedure,
        width=width,
        settings=ni.EnsembleSettings(members=count, seed=width, precision="float32", linearised=True, kernel_inputs=8),
        progress=silent,
    )
    for width, count in members.items()
}
narrow, wide = ensembles[64], ensembles[2048]

# %% [markdown]
# What the members do at the last recorded time, on the test inputs: mean and variance beside the law's, and each member
# beside its linearised twin. (In brackets the number of members: means over 48 scatter more than means over 640.)

# %%
mean, variance = np.asarray(law.test.mean[-1]), np.asarray(law.test.variance[-1])
with styled():
    figure = Figure(figsize=(WIDTH, 2.4), layout="constrained")
    left, middle, right = figure.subplots(1, 3)
    for colour, one in ((COLOURS[1], narrow), (COLOURS[0], wide)):
        label = f"width {one.width} ({one.members})"
        found = one.test[-1].var(axis=0, ddof=1).mean(axis=1)
        reach = 2 * variance * np.sqrt(2 / (data.n_outputs * (one.members - 1)))
        left.plot(mean.ravel(), one.test[-1].mean(axis=0).ravel(), ".", color=colour, markersize=3, label=label)
        middle.errorbar(variance, found, reach, fmt=".", color=colour, markersize=3, elinewidth=0.6, label=label)
        twins = one.linearised_test[-1, :48, 0, 0]
        right.plot(twins, one.test[-1, :48, 0, 0], ".", color=colour, markersize=3.5, label=label)
    for axes, title in ((left, "a   Means"), (middle, "b   Variances"), (right, "c   Members and their twins")):
        low, high = axes.get_xlim()
        axes.plot([low, high], [low, high], color="0.35", linewidth=0.8, zorder=1)
        axes.set_title(title)
        axes.legend(loc="upper left")
    left.set(xlabel="mean output, law", ylabel="mean over the members")
    middle.set(xlabel="variance, law", ylabel="variance over the members (± 2 errors)")
    right.set(xlabel="linearised twin, one test output", ylabel="member")
figure

# %% [markdown]
# ## Agreement, departures and their powers
#
# Thousands of values are compared at once. What counts is the largest, beside the largest of ensembles that are drawn
# from the law itself.

# %%
comparator = ni.Comparator(law, ni.ComparisonSettings(rounding=1e-5))
results = [ni.study_width(one, comparator, InformationSettings(8), silent) for one in ensembles.values()]
scalings = ni.scaling_of(results)
found = comparison_dataset(results, scalings, law, level=0.05)
print_comparison(Console(width=105, force_jupyter=False, force_terminal=False), found)

# %%
ni.comparison_figure(found)

# %% [markdown]
# Exponents with their 95 % intervals. *Consistent* takes an interval that excludes the neighbouring half powers;
# *undecided* is one that is too wide to say.

# %%
print("\n".join(scaling_sentences(scalings)))

# %% [markdown]
# ## What members say about their input
#
# $I(Z;X)$ of the Gaussian fitted to the members, less the bias that so many members of the law itself have, on the test
# inputs. The error is what chance does at this number of members.

# %%
scores = {}
for result in results:
    (one,) = (info for info in result.information if (info.name, info.split) == ("information_input", "test"))
    error = one.std * np.sqrt(1 + 1 / one.replicates)
    scores[result.width] = np.abs(one.corrected - one.law) / error
    cells = "  ".join(f"{value:.3f} ± {reach:.3f}" for value, reach in zip(one.corrected, 2 * error, strict=True))
    print(f"width {result.width:4}: {cells}")
print(f"law:        {'          '.join(f'{value:.3f}' for value in one.law)}      nats")

# %% [markdown]
# ## The numbers behind the verdict

# %%
exponents = {one.name: one for one in scalings}
first, last = results[0], results[-1]
print(f"width 2048: largest deviation of mean and variance {last.verdict.score:.1f} errors, ", end="")
print(f"{last.verdict.limit:.1f} allowed; agrees: {last.verdict.agrees}; normal: {last.verdict.gaussian}")
print(f"width   64: agrees: {first.verdict.agrees}; normal: {first.verdict.gaussian}")
for name in ("kernel start", "kernel drift", "linearised twin"):
    one = exponents[name]
    print(f"{name:16} {one.exponent:.3f} ({one.interval[0]:.3f} to {one.interval[1]:.3f})")
for width, score in scores.items():
    print(f"I(Z;X) of width {width}: largest difference from the law {score.max():.1f} errors")
assert end < start / 5  # most of the loss is gone
assert last.verdict.agrees
assert last.verdict.gaussian
assert not first.verdict.agrees
assert not first.verdict.gaussian
assert abs(exponents["kernel start"].exponent - 0.5) < 0.05
assert abs(exponents["kernel drift"].exponent - 1) < 0.1
assert abs(exponents["linearised twin"].exponent - 1) < 0.1
for name in ("mean", "variance", "divergence"):
    low, high = exponents[name].interval
    assert low <= exponents[name].prediction.exponent <= high
assert scores[2048].max() < 4

# %% [markdown]
# **Verdict.** The claim holds wherever this many members decide, and the powers of the averages are not decided here.
#
# - *Width 2048 follows the law* at all recorded times, in which the loss falls to a seventh: of thousands of means and
#   variances the largest deviation is 3.3 standard errors, 4.2 are allowed, and no test rejects normality. With 48
#   members a variance off by less than 28 % would not have shown.
# - *Narrower networks depart*, in the variance first: width 64 agrees until step 1, widths 128 to 512 until step 4. The
#   outputs of width 64 are not normal by two of five tests; of the wider ones a single test rejects, at width 512 and
#   barely (p ≤ 0.05 after correction), which chance may do.
# - *The kernel* starts off its limit by the power 0.500 (0.495 to 0.510) of 1/width and moves by the power 0.985 (0.973
#   to 1.002); members leave their linearised twins by 0.970 (0.945 to 1.007). Predicted: ½, 1, 1; all consistent.
# - *Mean, variance, relative entropy*: 1.11 (0.54 upwards), 1.17 (0.54 to 1.90), 2.91 (1.06 to 4.78) against 1, 1, 2:
#   undecided; the fourth cumulant is within noise. With up to 8192 members of widths 64 to 1024
#   (`benchmarks/width_scaling.py`) mean and variance are consistent, 1.01 (0.89 to 1.17) and 1.08 (0.96 to 1.24), and
#   the relative entropy, 2.19 (1.87 to 2.58), is just not decided.
# - *$I(Z;X)$* of members of width 256 and more is that of the law within 1.4 errors at every time; widths 64 and 128
#   differ by up to 4.5 and 6.4 errors (of eight ensembles drawn from the law each), 0.03 nats at most.
