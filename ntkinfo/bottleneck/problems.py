"""Joint laws of a discrete input and target: the record that the solvers take, and problems with known answers."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

import numpy as np
from jaxtyping import Float, Int
from scipy.special import expit, xlogy

from ntkinfo.core import checks
from ntkinfo.core.arguments import checked
from ntkinfo.core.arrays import Array, to_numpy
from ntkinfo.data.icosahedral_rule import COEFFICIENTS, THRESHOLD, twelve_bit_rule

# Rows of p(y|x) closer than this in every entry count as the same row: rounding of how they were computed.
SAME_ROW = 1e-13
_SUMS_TO_ONE = 1e-9


_MOST_CLASSES = 10_000


@checked
@dataclass(frozen=True)
class DiscreteProblem:
    """A law of X and Y with finitely many values each, as p(x) and p(y|x).

    Args:
        input_law: p(x), (n,), above 0.
        conditional: p(y|x), (n, k), rows that sum to 1.
        name: what to call it in figures and files.

    Raises:
        ValueError: NaN, negative probabilities, an input of probability 0 (drop it: `from_joint` does), sums other
            than 1 by more than 1e-9 (they are divided by it below that), fewer than two values of Y.
    """

    input_law: Float[np.ndarray, " x"]
    conditional: Float[np.ndarray, "x y"]
    name: str = "problem"

    def __post_init__(self):
        law = to_numpy(self.input_law).astype(np.float64)
        rows = to_numpy(self.conditional).astype(np.float64)
        checks.shape("input_law", law, (None,), "one probability an input")
        checks.shape("conditional", rows, (len(law), None), "a row p(y|x) for each input")
        if len(law) == 0 or rows.shape[1] < 2:
            raise ValueError(f"conditional has shape {rows.shape}; at least one input and two values of Y are needed")
        for name, array in (("input_law", law[None, :]), ("conditional", rows)):
            _check_rows(name, array)
        if np.any(law <= 0):
            raise ValueError("input_law holds a probability of 0; leave those inputs out (from_joint does)")
        object.__setattr__(self, "input_law", law / law.sum())
        object.__setattr__(self, "conditional", rows / rows.sum(axis=1, keepdims=True))

    @classmethod
    def from_joint(cls, joint: Array, name: str = "problem") -> DiscreteProblem:
        """From p(x,y); inputs of probability 0 are left out.

        Args:
            joint: p(x,y), (n, k), or counts of pairs: it is divided by its sum.
            name: what to call it.

        Returns:
            The problem, with as many inputs as have positive probability.

        Raises:
            ValueError: NaN or negative entries, or all of them 0.
        """
        table = to_numpy(joint).astype(np.float64)
        checks.shape("joint", table, (None, None), "a row for each value of X, a column for each value of Y")
        checks.finite("joint", table)
        if np.any(table < 0) or not np.any(table > 0):
            raise ValueError("joint must hold probabilities (or counts): none negative, not all of them 0")
        mass = table.sum(axis=1)
        table, mass = table[mass > 0], mass[mass > 0]
        return cls(mass / mass.sum(), table / mass[:, None], name)

    @property
    def n_inputs(self) -> int:
        """Values of X."""
        return len(self.input_law)

    @property
    def n_targets(self) -> int:
        """Values of Y."""
        return self.conditional.shape[1]

    @cached_property
    def target_law(self) -> Float[np.ndarray, " y"]:
        """p(y)."""
        return self.input_law @ self.conditional

    @cached_property
    def input_entropy(self) -> float:
        """H(X) in nats."""
        return entropy(self.input_law)

    @cached_property
    def target_entropy(self) -> float:
        """H(Y) in nats."""
        return entropy(self.target_law)

    @cached_property
    def mutual_information(self) -> float:
        """I(X;Y) in nats."""
        return max(0.0, self.target_entropy - float(self.input_law @ row_entropies(self.conditional)))

    @cached_property
    def classes(self) -> Int[np.ndarray, " x"]:
        """The number of each input's class: inputs with the same p(y|x) (to 1e-13) share one; (n,), from 0.

        In the order in which classes first appear, so that without equal rows the class of an input is its place.
        """
        return _row_classes(self.conditional)

    def merged(self) -> DiscreteProblem:
        """The same problem with inputs of equal p(y|x) taken as one; `classes` says which is which.

        p(y|x) is a minimal sufficient statistic of X for Y. Averaging an encoder over a class leaves I(T;Y) as it is
        and does not raise I(X;T), so the bottleneck curve is the same, exactly. H(X) becomes the entropy of the class.
        """
        _, first = np.unique(self.classes, return_index=True)
        if len(first) == self.n_inputs:
            return self
        law = np.bincount(self.classes, self.input_law)
        return DiscreteProblem(law, self.conditional[first], self.name)

    def information(self, encoder: Float[Array, "x t"]) -> tuple[float, float]:
        """I(X;T) and I(T;Y) of an encoder, in nats, exact.

        Args:
            encoder: p(t|x), (n, T), rows that sum to 1.

        Returns:
            Both informations; never below 0 (rounding is cut off there).

        Raises:
            ValueError: rows that are no laws.
        """
        rows = checked_encoder(encoder, self.n_inputs)
        joint = self.input_law[:, None] * rows
        cluster_law = joint.sum(axis=0)
        given = entropy(cluster_law) - float(self.input_law @ row_entropies(rows))
        told = entropy(cluster_law) + self.target_entropy - entropy(joint.T @ self.conditional)
        return max(0.0, given), max(0.0, told)


def entropy(law: np.ndarray) -> float:
    """-Σ p log p over all entries, in nats."""
    return float(-np.sum(xlogy(law, law)))


def row_entropies(rows: np.ndarray) -> np.ndarray:
    """-Σ p log p of each row, in nats; (n,)."""
    return -np.sum(xlogy(rows, rows), axis=-1)


def checked_encoder(encoder: Array, inputs: int) -> np.ndarray:
    """p(t|x) as a float64 numpy array, or a clear error."""
    rows = to_numpy(encoder).astype(np.float64)
    checks.shape("encoder", rows, (inputs, None), "a row p(t|x) for each input")
    _check_rows("encoder", rows)
    return rows / rows.sum(axis=1, keepdims=True)


@checked
def codes_to_encoder(codes: Int[Array, " x"]) -> Float[np.ndarray, "x t"]:
    """The deterministic encoder T = code of x, for integer codes in any numbering.

    Args:
        codes: one whole number an input; equal numbers are the same t (`np.unique(rows, axis=0, return_inverse=True)`
            turns binned activations into such codes).

    Returns:
        p(t|x) of zeros and ones, (n, different codes).

    Raises:
        ValueError: no codes.
    """
    if len(codes) == 0:
        raise ValueError("codes is empty; give one code for each input")
    values, place = np.unique(to_numpy(codes), return_inverse=True)
    return np.eye(len(values))[place]


@checked
def binary_symmetric(flip: float = 0.1) -> DiscreteProblem:
    """A fair bit X seen through a binary symmetric channel: Y differs from X with probability `flip`.

    Curve: I_Y = log 2 - h(flip * h⁻¹(log 2 - I_X)), a * b = a(1-b) + b(1-a) (Wyner & Ziv 1973, "Mrs. Gerber's lemma").
    """
    checks.probability("flip", flip)
    return DiscreteProblem(np.full(2, 0.5), np.array([[1 - flip, flip], [flip, 1 - flip]]), "binary symmetric")


@checked
def erasure(loss: float = 0.3, inputs: int = 2) -> DiscreteProblem:
    """X uniform, Y = X or, with probability `loss`, an erasure mark. Curve: I_Y = (1 - loss) I_X, one straight line."""
    checks.probability("loss", loss)
    checks.whole("inputs", inputs, least=2)
    rows = np.concatenate([(1 - loss) * np.eye(inputs), np.full((inputs, 1), loss)], axis=1)
    return DiscreteProblem(np.full(inputs, 1 / inputs), rows, "erasure")


@checked
def deterministic_labels(labels: Int[Array, " x"], flip: float = 0.0) -> DiscreteProblem:
    """X uniform, Y its label, replaced with probability `flip` by one of the other classes.

    Without flips the curve is I_Y = min(I_X, H(Y)), which the Lagrangian with β meets only in its corners.

    Args:
        labels: class of each input, (n,), from 0.
        flip: probability of a wrong label.

    Raises:
        ValueError: labels of one class only, negative labels.
    """
    checks.probability("flip", flip)
    given = to_numpy(labels)
    count = int(given.max()) + 1 if given.size else 0
    if count < 2 or given.min() < 0:
        raise ValueError("labels must be whole numbers from 0 with at least two classes")
    if count > _MOST_CLASSES:
        raise ValueError(
            f"labels run to {count - 1}: a law of more than {_MOST_CLASSES} classes is no table that fits; number the "
            "classes from 0, for instance by numpy.unique(labels, return_inverse=True)"
        )
    rows = np.full((len(given), count), flip / (count - 1))
    rows[np.arange(len(given)), given] = 1 - flip
    return DiscreteProblem(np.full(len(given), 1 / len(given)), rows, "labels")


@checked
def soft_twelve_bit_rule(sharpness: float = 0.1) -> DiscreteProblem:
    """The 12-bit rule with p(y=1|x) = 1 / (1 + exp(-sharpness (score - threshold))), 4096 equally likely patterns.

    The score is constant on the 64 invariance classes and half-way between labels at 119.5; sharpness → ∞ gives the
    rule's own labels.

    Args:
        sharpness: of the sigmoid, per unit of the score; above 0.
    """
    checks.positive("sharpness", sharpness)
    ones, adjacent, antipodal = twelve_bit_rule().classes.T
    score = np.stack([ones, ones**2, adjacent, antipodal], axis=1) @ np.array(COEFFICIENTS)
    up = expit(sharpness * (score - (THRESHOLD - 0.5)))
    down = expit(-sharpness * (score - (THRESHOLD - 0.5)))
    return DiscreteProblem(np.full(len(up), 1 / len(up)), np.stack([down, up], axis=1), "soft 12-bit rule")


@checked
def random_problem(inputs: int = 16, targets: int = 4, seed: int = 0, concentration: float = 1.0) -> DiscreteProblem:
    """p(x) and the rows p(y|x) drawn from symmetric Dirichlet laws.

    Args:
        inputs: values of X.
        targets: values of Y.
        seed: fixes the draw.
        concentration: of the rows; small values give nearly deterministic labels. p(x) is drawn with 1.
    """
    checks.whole("inputs", inputs)
    checks.whole("targets", targets, least=2)
    checks.positive("concentration", concentration)
    random = np.random.default_rng(seed)
    law = random.dirichlet(np.ones(inputs))
    rows = random.dirichlet(np.full(targets, concentration), size=inputs)
    return DiscreteProblem(law, rows, f"random {inputs}x{targets}")


def _check_rows(name: str, rows: np.ndarray) -> None:
    checks.finite(name, rows)
    if np.any(rows < 0):
        raise ValueError(f"{name} holds {rows.min()}; probabilities are 0 or greater")
    off = float(np.max(np.abs(rows.sum(axis=1) - 1), initial=0.0))
    if off > _SUMS_TO_ONE:
        raise ValueError(f"{name} sums to 1 only within {off:.3g}; divide each law by its sum")


def _row_classes(rows: np.ndarray) -> np.ndarray:
    """Groups of equal rows: sorted by each column in turn, a group ends where a neighbour is farther than rounding."""
    classes = np.zeros(len(rows), dtype=np.int64)
    for column in rows.T:
        order = np.lexsort((column, classes))
        step = (np.diff(column[order]) > SAME_ROW) | (np.diff(classes[order]) > 0)
        classes[order] = np.concatenate([[0], np.cumsum(step)])
    _, first, place = np.unique(classes, return_index=True, return_inverse=True)
    return np.argsort(np.argsort(first))[place]
