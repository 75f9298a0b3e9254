"""The onset of the bottleneck: the least KL(q ‖ p_X) / KL(q_Y ‖ p_Y) over laws q of X."""

from __future__ import annotations

import numpy as np
from jaxtyping import Float
from scipy.optimize import minimize

from ntkinfo.bottleneck.problems import DiscreteProblem

_RANDOM, _MOST_ROWS = 64, 128
_ROUNDS = 60
_POLISHED = 12
# q = p (1 + s v), v a direction in which the second variation is large, s these shares of what keeps q positive.
_SHARES = (1e-3, 1e-2, 0.1, 0.3, 0.6, 0.9)
_SERIES = 1e-3
_NOTHING = 1e-14  # a KL(q_Y ‖ p_Y) this small says no more than the second variation does


def least_ratio(problem: DiscreteProblem, directions: Float[np.ndarray, "m x"], seed: int = 0) -> float:
    """The smallest ratio found: by fixed-point rounds from many laws, the best ones polished by quasi-Newton steps.

    Every ratio is that of a law q, so that the value is an upper bound on the least one; both relative entropies are
    computed from q/p − 1, without cancellation, also for q near p.

    Args:
        problem: of inputs with different p(y|x).
        directions: v with Σ p v = 0, to start from both sides along them.
        seed: of the random starts.

    Returns:
        The ratio; infinite where no law of Y differs from p_Y.
    """
    starts = _starts(problem, directions, np.random.default_rng(seed))
    values = _ratios(problem, starts)
    for _ in range(_ROUNDS):
        moved = _round(problem, starts, values)
        found = _ratios(problem, moved)
        better = found < values
        starts, values = np.where(better[:, None], moved, starts), np.where(better, found, values)
    order = np.argsort(values)[:_POLISHED]
    return min([float(values.min()), *(_polished(problem, starts[k]) for k in order if np.isfinite(values[k]))])


def _starts(problem: DiscreteProblem, directions: np.ndarray, random: np.random.Generator) -> np.ndarray:
    """Changes u = q/p − 1 of laws q, (S, n)."""
    law, n = problem.input_law, problem.n_inputs
    rows = np.unique(np.linspace(0, n - 1, min(n, _MOST_ROWS)).astype(int))
    corners = np.zeros((len(rows), n))
    corners[np.arange(len(rows)), rows] = 1.0 / law[rows]
    drawn = random.dirichlet(np.full(n, 0.3), size=_RANDOM) / law
    laws = [corners, 0.5 * (corners + 1), 0.1 * corners + 0.9, drawn]
    found = [u - 1 for u in laws]
    for v in (*directions, *(-direction for direction in directions)):
        lowest = -v.min()
        if lowest > 0:
            found += [share / lowest * v[None] for share in _SHARES]
    return np.concatenate(found)


def _excess(u: np.ndarray) -> np.ndarray:
    """(1 + u) log(1 + u) − u for u ≥ −1, to rounding also near 0."""
    small = np.abs(u) < _SERIES
    near = np.where(small, u, 0.0)
    series = near**2 * (1 / 2 - near * (1 / 6 - near * (1 / 12 - near * (1 / 20 - near / 30))))
    far = np.where(small | (u <= -1), 1.0, u)
    return np.where(small, series, np.where(u <= -1, 1.0, (1 + far) * np.log1p(far) - far))


def _outputs(problem: DiscreteProblem, u: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Changes q_Y/p_Y − 1 of the values of Y that occur, (S, k), and their p_Y."""
    target = problem.target_law
    kept = target > 0
    return (u * problem.input_law) @ problem.conditional[:, kept] / target[kept], target[kept]


def _ratios(problem: DiscreteProblem, u: np.ndarray) -> np.ndarray:
    outputs, target = _outputs(problem, u)
    below = _excess(outputs) @ target
    return np.divide(_excess(u) @ problem.input_law, below, out=np.full(len(u), np.inf), where=below > _NOTHING)


def _round(problem: DiscreteProblem, u: np.ndarray, values: np.ndarray) -> np.ndarray:
    """Q ∝ p exp(β Σ_y p(y|x) log(q_Y/p_Y)), β each law's own ratio: the ratio does not rise."""
    outputs, _ = _outputs(problem, u)
    kept = problem.target_law > 0
    with np.errstate(divide="ignore"):
        heights = np.maximum(np.log1p(outputs), -1e3) @ problem.conditional[:, kept].T
    exponent = np.where(np.isfinite(values), values, 1.0)[:, None] * heights
    return _tilted(problem, exponent)


def _tilted(problem: DiscreteProblem, exponent: np.ndarray) -> np.ndarray:
    """Changes of the laws q ∝ p e^exponent, (S, n)."""
    highest = exponent.max(axis=1, keepdims=True)
    # log Σ p e^x by log1p where the exponents are small, so that small changes keep their digits.
    small = highest[:, 0] - exponent.min(axis=1) < 0.1
    sums = np.log(np.exp(exponent - highest) @ problem.input_law) + highest[:, 0]
    close = np.log1p(np.expm1(np.where(small[:, None], exponent - highest, 0.0)) @ problem.input_law) + highest[:, 0]
    return np.expm1(exponent - np.where(small, close, sums)[:, None])


def _polished(problem: DiscreteProblem, u: np.ndarray) -> float:
    """The ratio where quasi-Newton steps from a law end."""
    law, kept = problem.input_law, problem.target_law > 0
    rows = problem.conditional[:, kept]

    def value(exponent: np.ndarray) -> tuple[float, np.ndarray]:
        change = _tilted(problem, exponent[None])
        outputs, target = _outputs(problem, change)
        above, below = float(_excess(change[0]) @ law), float(_excess(outputs[0]) @ target)
        if below <= _NOTHING:
            return 1e3, np.zeros_like(exponent)
        with np.errstate(divide="ignore"):
            slope = np.log1p(change[0]) - above / below * (rows @ np.maximum(np.log1p(outputs[0]), -1e3))
        weight = law * (1 + change[0])
        slope = np.where(weight > 0, slope, 0.0)
        return above / below, weight * (slope - weight @ slope) / below

    start = np.log1p(np.maximum(u, -1 + 1e-12))
    ended = minimize(value, start, jac=True, method="L-BFGS-B", options={"maxiter": 500, "ftol": 1e-15, "gtol": 1e-13})
    return float(ended.fun)
