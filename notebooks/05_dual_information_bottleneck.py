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
# # The dual information bottleneck
#
# The ordinary bottleneck minimises $I(T;X) + \beta\, E\,\mathrm{KL}[p(y|x)\,\Vert\,p(y|t)]$, up to a constant
# $I(T;X) - \beta I(T;Y)$. The dual exchanges the arguments, $I(T;X) + \beta\, E\,\mathrm{KL}[p(y|t)\,\Vert\,p(y|x)]$,
# so that a cluster predicts by the *geometric* mean of its rows $p(y|x)$.
#
# **Claim** (Piran, Shwartz-Ziv & Tishby 2020). (1) Its solutions split at critical $\beta$ that follow from the law of
# the data. (2) They keep the exponential family of the data: as few natural parameters as $p(y|x)$ has. (3) They are
# better in the exponents of the prediction error. (4) In networks, its variational form lies better in the information
# plane and may improve the error.
#
# Beside (1) to (3) stands what the dual costs: how far below the ordinary curve it lies. For Gaussian data everything
# has a closed form.

# %%
# %matplotlib inline
# %config InlineBackend.figure_format = "retina"
import numpy as np
from IPython.display import Markdown
from matplotlib.figure import Figure
from scipy.optimize import minimize
from scipy.special import gammaln

import ntkinfo as ni
from ntkinfo.bottleneck.discrete import solve
from ntkinfo.bottleneck.dual import natural_rank
from ntkinfo.bottleneck.dual_exponents import chernoff_information, error_exponents, exponents_beside
from ntkinfo.bottleneck.variational_objectives import (
    Annealed,
    conditional_entropy_bottleneck,
    variational_bottleneck,
    variational_dual_bottleneck,
)
from ntkinfo.core.progress import silent
from ntkinfo.report.bottleneck_dataset import discrete_dataset
from ntkinfo.report.series import COLOURS
from ntkinfo.report.style import WIDTH, styled
from ntkinfo.report.variational_figure import variational_figure


def family(inputs, seed):
    """Inputs whose laws of Y (four values) share an exponential family of two natural parameters."""
    random = np.random.default_rng(seed)
    weight = np.exp(2 * random.normal(size=(inputs, 2)) @ random.normal(size=(2, 4)))
    return ni.DiscreteProblem(np.full(inputs, 1 / inputs), weight / weight.sum(axis=1, keepdims=True), f"family {seed}")


problem = family(16, seed=1)
dual = ni.dual_curve(problem, ni.dual_critical_beta(problem) * np.geomspace(1.02, 400, 22), progress=silent)
betas = ni.onset_beta(problem) * np.geomspace(1.01, 60, 16)
curve = ni.bottleneck_curve(problem, accuracy=None, betas=betas, progress=silent)
print(f"I(X;Y) = {problem.mutual_information:.4f} nats")
print(f"dual: distortion certified to {max(s.gap for s in dual):.1e} nats, residuals below", end=" ")
print(f"{max(max(s.residuals.encoder, s.residuals.decoder) for s in dual):.0e} nats")
print(f"ordinary: I(T;Y) certified to {max(s.gap for s in curve.solutions):.1e} nats")
ni.bottleneck_figure(discrete_dataset(curve, dual))

# %% [markdown]
# **(a)** The solutions of the dual (hollow squares) lie close below the curve of the ordinary bottleneck. They cannot
# lie above it: the certificate **(b)** holds for every encoder. **(c)** What the dual minimises instead.
#
# ## Critical trade-offs
#
# Near the trivial solution a round of the self-consistent equations multiplies a small deviation by $\beta/\beta_c$.
# That is measured here by iterating the plain equations, and compared with the formulas $1/\lambda_2$ (ordinary) and
# $1/\lambda_{\max}$ of the covariance of $\log p(y|x)$ (dual). The last column is where the best solution found by the
# solver leaves the trivial one, to about 1 in 10,000.


# %%
def growth(problem, beta, dual, rounds=40):
    """Factor by which the deviation from the trivial encoder changes in a round of the plain equations."""
    law, rows, random = problem.input_law, problem.conditional, np.random.default_rng(0)
    encoder = 0.5 + 1e-4 * random.normal(size=(len(law), 1)) * np.array([1, -1])
    sizes = []
    for _ in range(rounds):
        weight = law @ encoder
        given = law[:, None] * encoder / weight
        centre = given.T @ np.log(rows) if dual else np.log(given.T @ rows)
        centre -= np.log(np.sum(np.exp(centre), axis=1, keepdims=True))
        forward, backward = rows @ centre.T, np.sum(np.exp(centre) * centre, axis=1) - np.log(rows) @ np.exp(centre).T
        logits = np.log(weight) + beta * (-backward if dual else forward)
        encoder = np.exp(logits - logits.max(axis=1, keepdims=True))
        encoder /= encoder.sum(axis=1, keepdims=True)
        sizes.append(np.linalg.norm(encoder[:, 0] - law @ encoder[:, 0]))
    return sizes[-1] / sizes[-2]


quick = ni.SolverSettings(cells=2000)  # where only the solutions are wanted, not tight certificates


def onset(problem, beta, dual):
    """Where the best solution starts to keep anything, by bisection below the critical beta."""
    solver, low, high = ni.solve_dual if dual else solve, 0.5 * beta, 1.001 * beta
    while high - low > 1e-5 * high:
        middle = (low + high) / 2
        keeps = solver(problem, middle, quick).information_input > 1e-9
        low, high = (low, middle) if keeps else (middle, high)
    return high


problems = {"binary symmetric, 10 %": ni.binary_symmetric(0.1), "exponential family": problem}
problems["soft 12-bit rule"] = ni.soft_twelve_bit_rule(0.1)
critical, deviations, onsets = {}, [], {}
print("                                  formula   iteration   best solution from")
for name, one in problems.items():
    for kind, formula in (("ordinary", ni.critical_beta(one)), ("dual", ni.dual_critical_beta(one))):
        measured = 0.9 * formula / growth(one, 0.9 * formula, kind == "dual")
        critical[name, kind], onsets[name, kind] = formula, onset(one, formula, kind == "dual")
        deviations.append(abs(measured / formula - 1))
        print(f"{name:23} {kind:9} {formula:9.5f} {measured:11.5f} {onsets[name, kind]:14.4f}")
assert max(deviations) < 1e-3
assert abs(critical["binary symmetric, 10 %", "dual"] - 4 / np.log(9) ** 2) < 1e-9

# %% [markdown]
# For the symmetric channel the formula is also where the best solution starts. In the other two problems the best
# solution jumps away earlier: the formula says where the trivial one stops being a local minimum, not where it stops
# being the best.
#
# ## Exponential family and exponents
#
# Natural parameters of the dual's clusters are averages of those of their inputs, so their rank stays two. Clusters of
# the ordinary bottleneck predict by arithmetic means, which leave the family.
#
# For the dual's decoders the divergences add up (Bregman): what is lost *within* clusters and what is told *between*
# clusters have the same sum for every encoder. Within a cluster of two inputs the loss is the Chernoff exponent
# $-\log\sum_y p(y|x_1)^\lambda\, p(y|x_2)^{1-\lambda}$, the rate at which their confusion dies out with the number of
# draws of Y. Minimising the one maximises the other: a good encoder puts together inputs that are hard to tell apart.
# Encoders are compared where the loss within clusters is still above 2 % of what it is with one cluster.


# %%
def confusion(first, second, draws):
    """Exact Bayes error of telling two laws of four values from so many draws."""
    counts = np.stack(np.meshgrid(*[np.arange(draws + 1)] * 3, indexing="ij")).reshape(3, -1)
    counts = np.vstack([counts, draws - counts.sum(axis=0)])[:, counts.sum(axis=0) <= draws]
    ways = gammaln(draws + 1) - gammaln(counts + 1).sum(axis=0)
    return 0.5 * np.sum(np.exp(ways + np.minimum(np.log(first) @ counts, np.log(second) @ counts)))


ranks = {"ordinary": [natural_rank(s.decoder) for s in curve.solutions], "dual": [s.natural_rank for s in dual]}
compared = exponents_beside(problem, curve.solutions, dual)
whole = error_exponents(problem, np.ones((problem.n_inputs, 1))).within
kept = compared.dual_within > 0.02 * whole
excess = compared.within[kept] / compared.dual_within[kept] - 1
centres, told = np.array([[s.information_input, s.information_target] for s in dual]).T
lost, lost_upper = np.max(curve.lower(centres) - told), np.max(curve.upper(centres) - told)

gaps = [np.linalg.norm(problem.conditional - row, axis=1) for row in problem.conditional]
pair = problem.conditional[[0, int(np.argsort(gaps[0])[8])]]
rate, share = chernoff_information(*pair)
draws = np.array([1, 2, 3, 5, 8, 12, 18, 26, 36, 48])
errors = np.array([confusion(*pair, count) for count in draws])
both = ni.DiscreteProblem(np.array([share, 1 - share]), pair)
slope = (np.log(errors[-3]) - np.log(errors[-1]) - 0.5 * np.log(draws[-1] / draws[-3])) / (draws[-1] - draws[-3])
print(f"rank of p(y|x): {natural_rank(problem.conditional)};", end=" ")
print("of decoders:", ", ".join(f"{kind} {min(rank)} to {max(rank)}" for kind, rank in ranks.items()))
print(f"exponent within clusters, ordinary above dual at equal I(T;X): {100 * excess.min():.1f} to", end=" ")
print(f"{100 * excess.max():.1f} %")
print(f"dual below what the ordinary achieves by at most {lost:.4f} nats, below the certified curve by", end=" ")
print(f"{lost_upper:.4f} of {problem.mutual_information:.4f}")
print(f"confusion of two inputs falls by {slope:.4f} a draw, Chernoff exponent {rate:.4f};", end=" ")
print(f"within a cluster of the two {error_exponents(both, np.ones((2, 1))).within:.4f} nats")
assert max(ranks["dual"]) == natural_rank(problem.conditional) == 2
assert max(ranks["ordinary"]) == 3
assert np.all(compared.within >= compared.dual_within_lower - 1e-9)
assert abs(slope / rate - 1) < 0.03

# %%
with styled():
    figure = Figure(figsize=(WIDTH, 2.6), layout="constrained")
    left, middle, right = figure.subplots(1, 3)
    left.plot(curve.information_input, ranks["ordinary"], "o", color=COLOURS[0], markersize=3.5, label="ordinary")
    left.plot(centres, ranks["dual"], "s", color=COLOURS[1], markerfacecolor="none", markersize=4, label="dual")
    left.set(xlabel="$I(T;X)$ (nat)", ylabel="natural parameters of $p(y|t)$", ylim=(0, 3.5), yticks=range(4))
    middle.plot(centres, [s.distortion for s in dual], "s-", color=COLOURS[1], markerfacecolor="none", markersize=4)
    middle.plot(compared.information_input, compared.within, "o", color=COLOURS[0], markersize=3.5)
    middle.set(xlabel="$I(T;X)$ (nat)", ylabel="exponent within clusters (nat a draw)", yscale="log", ylim=(0.01, 1.5))
    right.plot(draws, errors, "o", color="black", markersize=3, label="exact")
    reach = np.array([12.0, 48.0])
    right.plot(reach, errors[-1] * np.exp(rate * (48 - reach)), color=COLOURS[2], label="slope: Chernoff exponent")
    right.set(xlabel="draws of Y", ylabel="probability of confusing two inputs", yscale="log")
    left.legend(loc="lower right")
    right.legend(loc="lower left")
    for axes, title in zip(
        (left, middle, right), ("a   Rank", "b   Exponents", "c   What an exponent is"), strict=True
    ):
        axes.set_title(title)
figure

# %% [markdown]
# One problem is an anecdote, so five others, smaller: at the $I(T;X)$ of three ordinary solutions, how far their
# exponent within clusters is above the dual's.

# %%
others = []
for seed in range(2, 7):
    small = family(8, seed)
    grid = ni.dual_critical_beta(small) * np.geomspace(1.02, 100, 16)
    found = ni.compare_exponents(small, ni.onset_beta(small) * np.array([1.3, 2.5, 6.0]), grid, quick, silent)
    others.append(found.within / found.dual_within - 1)
    print(f"seed {seed}:", ", ".join(f"{100 * part:+.1f} %" for part in others[-1]))
others = np.array(others)

# %% [markdown]
# ## Gaussian data
#
# Three canonical correlations. The closed form of the dual is put against a numerical minimum over all linear encoders
# $T = AX + \xi$, which knows nothing of it, and its encoders against the ordinary frontier.

# %%
law = ni.GaussianBottleneck.of(ni.GaussianPair.random(correlations=(0.9, 0.7, 0.4), dims=(5, 3), seed=0))
closed = ni.GaussianDualBottleneck(law)
print("critical beta, ordinary:", np.round(law.critical_betas, 4), " dual:", np.round(closed.critical_betas, 4))
worst = 0.0


def cost(flat, beta):
    projection = flat.reshape(3, 5)
    return law.information(projection)[0] + beta * closed.distortion(projection)


for beta in (0.5, 2.0, 8.0):
    start = np.random.default_rng(0).normal(size=15)
    reached = minimize(cost, start, args=(beta,), method="BFGS", options={"gtol": 1e-7})
    point = closed.curve(beta)
    formula = float(point.information_input + beta * point.distortion)
    found = law.information(reached.x.reshape(3, 5))
    frontier = float(law.frontier(found[0]))
    worst = max(worst, abs(reached.fun - formula), abs(frontier - found[1]))
    print(f"beta {beta:3}: minimum {reached.fun:.7f}, closed form {formula:.7f} nats;", end=" ")
    print(f"its I(T;Y) {found[1]:.7f}, ordinary frontier {frontier:.7f} nats")
assert worst < 1e-5

# %% [markdown]
# For Gaussian data the two problems have the same encoders, at $\beta$ and $\beta + 1$: the dual loses nothing.
#
# ## In networks
#
# Variational bottleneck, conditional entropy bottleneck and variational dual on 1024 digits, from the same initial
# weights. The dual needs a $p(y|x)$ above 0; here how a ridge classifier confuses the classes on held-out training
# inputs. Its $\beta$ weighs another error, so forms are compared by their place in the plane. 500 steps and one seed:
# a small run (`benchmarks/variational_plane.py` takes more).

# %%
data = ni.data.digits(n_train=1024, n_test=512, seed=0)
train, test = ni.class_targets(data, ni.estimate_label_noise(data.x_train, data.labels_train, len(data.class_names)))
settings = ni.VariationalSettings(steps=500, records=[500], precision="float32")


def trained(form, weight):
    objective = form(Annealed(0.1 * weight, weight, 250, shape="geometric"))
    return ni.train_variational(objective, train, test, settings=settings, progress=silent).curves


forms = {
    "variational bottleneck": (variational_bottleneck, (4.0, 20.0, 100.0)),
    "conditional entropy": (conditional_entropy_bottleneck, (2.0, 10.0, 60.0)),
    "variational dual": (variational_dual_bottleneck, (8.0, 16.0, 40.0)),
}
runs = {name: [trained(form, weight) for weight in weights] for name, (form, weights) in forms.items()}
variational_figure(runs)

# %%
orders = (
    ("information_input_upper", "information_input"),
    ("information_input_multisample_upper", "information_input"),
    ("information_target", "information_target_lower"),
    ("information_input", "information_target"),
)
wrong = []
print("test inputs              weight   I(X;Z)     rate   I(Z;Y)   bound   error ± s.e. (%)   calibration")
for name, group in runs.items():
    for weight, curves in zip(forms[name][1], group, strict=True):
        for upper, lower in orders:
            spread = np.hypot(curves[f"{upper}_standard_error"], curves[f"{lower}_standard_error"])
            wrong.append(float(((curves[lower] - curves[upper]) / np.maximum(spread, 1e-12)).max()))
        end = curves.isel(step=-1).sel(split="test")
        columns = ("information_input", "information_input_upper", "information_target", "information_target_lower")
        print(f"{name:24} {weight:6g}" + "".join(f"{float(end[key]):9.3f}" for key in columns), end="")
        error, spread = 100 * float(end.error), 100 * float(end.error_standard_error)
        print(f"{error:9.1f} ± {spread:.1f} {float(end.calibration_error):14.3f}")
print(f"bounds on the wrong side by at most {max(wrong):.1f} standard errors")
assert max(wrong) < 4

# %% [markdown]
# At the same $I(X;Z)$, by interpolation on the lines of the figure: how much more the dual says about the class than
# the other two forms do, and the best error of each form.


# %%
def ends(name, key):
    return np.array([float(curves[key].isel(step=-1).sel(split="test")) for curves in runs[name]])


def advantage(other):
    """I(Z;Y) of the dual less that of another form at equal I(X;Z), and twice its error of sampling."""
    given, target = ends("variational dual", "information_input"), ends("variational dual", "information_target")
    at, height = ends(other, "information_input"), ends(other, "information_target")
    inside = (given >= at.min()) & (given <= at.max())
    spread = 2 * np.sqrt(2) * ends("variational dual", "information_target_standard_error").max()
    return target[inside] - np.interp(given[inside], at, height), spread


gains = {}
for other in ("variational bottleneck", "conditional entropy"):
    gains[other] = advantage(other)
    print(f"dual less {other}: {np.round(gains[other][0], 3)} nats, ± {gains[other][1]:.3f}")
best = {name: (ends(name, "error").min(), ends(name, "error_standard_error").max()) for name in runs}
rival = min((name for name in runs if name != "variational dual"), key=lambda name: best[name][0])
difference = 100 * (best["variational dual"][0] - best[rival][0])
spread = 200 * np.hypot(best["variational dual"][1], best[rival][1])
print(f"best error: dual {100 * best['variational dual'][0]:.1f} %, {rival} {100 * best[rival][0]:.1f} %;", end=" ")
print(f"difference {difference:+.1f} ± {spread:.1f} points")

# %%
earlier = {key: 1 - onsets[key] / critical[key] for key in critical}
ahead = all(len(gain) > 0 and gain.min() > spread for gain, spread in gains.values())
better = "not decided" if abs(difference) < spread else "an improvement" if difference < 0 else "no improvement"
assert excess.min() > 0
assert others.min() > 0
assert lost_upper < 0.1 * problem.mutual_information
plain, conditional = gains["variational bottleneck"], gains["conditional entropy"]
symmetric = critical["binary symmetric, 10 %", "dual"]
sides = (
    "every bound is on its own side of its value"
    if max(wrong) < 0
    else "no bound is on the wrong side beyond its error"
)
Markdown(f"""
**Verdict.**

1. *Critical trade-offs: supported, as limits of stability.* Formula and plain iteration agree within
   {max(deviations):.0e} (relative) for both bottlenecks on three problems; on the binary symmetric channel the dual's
   is 4/log² 9 = {symmetric:.5f}. The best solution can leave the trivial one earlier, here by up to
   {100 * max(earlier.values()):.0f} %.
2. *Exponential family: supported.* All {len(dual)} dual solutions keep the rank {max(ranks["dual"])} of the data; the
   ordinary ones reach {max(ranks["ordinary"])}.
3. *Exponents: supported, in the sense of two exponents with a constant sum.* At equal I(T;X) the ordinary solutions'
   exponent within clusters is {100 * excess.min():.0f} to {100 * excess.max():.0f} % above the dual's, on five further
   problems {100 * others.min():.1f} to {100 * others.max():.0f} %. The price is at most {lost_upper:.3f} nats of
   I(T;Y), {100 * lost_upper / problem.mutual_information:.0f} % of I(X;Y). For Gaussian data there is no price: the
   encoders are the ordinary ones, and a numerical minimum meets the closed form within {worst:.0e} nats.
4. *In networks: {"an advantage" if ahead else "no advantage"} in the plane in this run.* At equal I(X;Z) what the dual
   says about the class differs from the variational bottleneck by {plain[0].min():+.3f} to {plain[0].max():+.3f} nats
   (± {plain[1]:.3f}) and from the conditional entropy bottleneck by {conditional[0].min():+.3f} to
   {conditional[0].max():+.3f}. Error: {better}, {difference:+.1f} ± {spread:.1f} points against the best other form.
   The intervals cover draws and test inputs, not the seeds of training; {sides}.
""")
