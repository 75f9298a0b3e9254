"""Joint laws of outputs at one time by dense matrices over the inputs as they are, for the second routes."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

import numpy as np
import scipy.linalg

from ntkinfo.core.arrays import to_numpy
from ntkinfo.information.label_model import LabelModel
from ntkinfo.information.second_law import Snapshot
from ntkinfo.information.second_propagator import EPSILON, NotCheckedError, SecondRoute


class JointInputs:
    """Kernels of d inputs, some of the first test inputs and perhaps the training inputs, and what time leaves alone.

    Args:
        route: of the distribution.
        others: how many test inputs.
        with_train: whether the training inputs come before them.
    """

    def __init__(self, route: SecondRoute, others: int, with_train: bool):
        self.prior, self.tangent = route.prior, route.tangent
        self._rows = slice(0 if with_train else route.n, None)
        if others:
            source, procedure = route.law.blocks.source, route.law.procedure
            assert source is not None
            inputs = route.law.data.x_test[:others]
            cross, square = source.cross(inputs), source.square(inputs)
            self.prior = _bordered(self.prior, getattr(cross, procedure.prior), getattr(square, procedure.prior))
            self.tangent = _bordered(
                self.tangent, getattr(cross, procedure.tangent), getattr(square, procedure.tangent)
            )

    def of(self, matrix: np.ndarray) -> np.ndarray:
        """The rows of these inputs, and the columns where they are as many."""
        return matrix[self._rows, self._rows] if matrix.shape[0] == matrix.shape[1] else matrix[self._rows]

    @cached_property
    def initial(self) -> np.ndarray:
        """Covariance before training, (d, d)."""
        return self.of(self.prior)

    @cached_property
    def values(self) -> np.ndarray:
        """Eigenvalues of that."""
        return np.linalg.eigvalsh(self.initial)

    @cached_property
    def factor(self) -> tuple[np.ndarray, bool]:
        """Its Cholesky factor, for `scipy.linalg.cho_solve`.

        Raises:
            NotCheckedError: it is singular to rounding.
        """
        try:
            return scipy.linalg.cho_factor(self.initial, lower=True)[0], True
        except np.linalg.LinAlgError:
            raise NotCheckedError("the prior covariance is singular to rounding") from None


@dataclass(frozen=True)
class DenseJoint:
    """Joint law of the outputs on d inputs at one time.

    Args:
        snapshot: of that time.
        inputs: which.
        covariance: (d, d).
        gain: (d, n), map from the training targets to the mean.
        contains_train: whether the training inputs are among the inputs.
    """

    snapshot: Snapshot
    inputs: JointInputs
    covariance: np.ndarray
    gain: np.ndarray
    contains_train: bool

    @property
    def covariance_error(self) -> float:
        """Of the covariance, in its spectral norm."""
        return self._moved(self.covariance, self.snapshot.filter_spread) + self._rounded(self.inputs.initial)

    def _moved(self, matrix: np.ndarray, spread: float) -> float:
        """Change of a matrix a A (…) A aᵀ with ‖A (…)^½‖ = `spread` by the kernel's error."""
        reach = max(float(np.linalg.norm(self.gain)), 1.0)
        return 4 * self.snapshot.route.kernel_error * reach * spread * float(np.linalg.norm(matrix)) ** 0.5

    def _rounded(self, matrix: np.ndarray) -> float:
        size = float(np.linalg.norm(self.gain)) ** 2 * float(np.trace(self.snapshot.route.prior))
        return 4 * self.snapshot.route.unit * (float(np.trace(matrix)) + size)

    def log_determinant(self) -> tuple[float, float]:
        """Of the covariance, and its error."""
        if not self.contains_train or self.snapshot.summed.is_noisy:
            return _log_determinant(np.linalg.eigvalsh(self.covariance), self.covariance_error)
        # Training maps the outputs on the training inputs by R, and the others keep their spread given those.
        error = 4 * EPSILON * float(np.trace(self.inputs.initial))
        start, start_error = _log_determinant(self.inputs.values, error)
        residual, residual_error = log_residual(self.snapshot)
        return start + 2 * residual, start_error + 2 * residual_error

    def relative_entropy(self, targets: np.ndarray) -> tuple[float, float]:
        """Of the law to its start, and its error."""
        route, outputs, mean = self.snapshot.route, targets.shape[1], self.gain @ targets
        factor, values = self.inputs.factor, self.inputs.values
        trace = float(np.trace(scipy.linalg.cho_solve(factor, self.covariance)))
        quadratic = float(np.sum(mean * scipy.linalg.cho_solve(factor, mean)))
        log, log_error = self.log_determinant()
        start = 2 * float(np.sum(np.log(np.diag(factor[0]))))
        value = 0.5 * (outputs * (trace - len(mean) + start - log) + quadratic)
        least, condition = float(values[0]), float(values[-1] / values[0])
        moved = 4 * route.kernel_error * (1 + float(np.linalg.norm(self.gain)))
        moved *= float(np.linalg.norm(self.snapshot.learned)) + outputs * self.snapshot.filter_spread
        error = route.unit * condition * (outputs * (trace + len(mean)) + quadratic)
        error += moved * (quadratic / least) ** 0.5 + outputs * float(np.sum(1 / values)) * self.covariance_error
        return value, error + outputs * log_error

    def information(self, model: LabelModel, outputs: int) -> tuple[float, float]:
        """½C log det(I + cov⁻¹ M) with M the covariance of the mean over the model's targets, and its error."""
        labels = label_covariance(self.snapshot, model)
        signal = self.gain @ labels @ self.gain.T
        log, log_error = self.log_determinant()
        error = self.covariance_error + self._moved(signal, label_spread(self.snapshot, labels))
        error += 4 * self.snapshot.route.unit * float(np.trace(signal))
        both, both_error = _log_determinant(np.linalg.eigvalsh(self.covariance + (signal + signal.T) / 2), error)
        return 0.5 * outputs * (both - log), 0.5 * outputs * (both_error + log_error)


def label_covariance(snapshot: Snapshot, model: LabelModel) -> np.ndarray:
    """S, (n, n), over the training inputs as they are."""
    teacher = snapshot.route.prior if model.covariance is None else np.asarray(model.covariance)
    return teacher + model.noise_variance * np.eye(len(teacher))


def label_spread(snapshot: Snapshot, labels: np.ndarray) -> float:
    """‖A S^½‖."""
    return float(np.sqrt(max(np.sum((snapshot.now.filter @ labels) * snapshot.now.filter), 0.0)))


def log_residual(snapshot: Snapshot) -> tuple[float, float]:
    """Log-determinant of |R| and its error."""
    now, route = snapshot.now, snapshot.route
    if now.log_determinant is not None and snapshot.summed.ridge == 0:
        steep = now.effective * route.kernel_error * route.n**0.5
        return now.log_determinant, steep + route.unit * abs(now.log_determinant)
    log = float(np.linalg.slogdet(now.residual)[1]) + route.n * now.log_scale
    inverse = float(np.linalg.norm(np.linalg.inv(now.residual))) * np.exp(-now.log_scale)
    return log, route.kernel_error * inverse * float(np.linalg.norm(now.filter)) * 2 + route.unit * abs(log)


def joint(snapshot: Snapshot, others: int, with_train: bool) -> DenseJoint:
    """Law at the first test inputs, `others` of them, after the training inputs or alone.

    Raises:
        NotCheckedError: the route has no formula for this procedure.
    """
    route, n, key = snapshot.route, snapshot.route.n, (others, with_train)
    if key not in route.joint_inputs:
        route.joint_inputs[key] = JointInputs(route, others, with_train)
    inputs: JointInputs = route.joint_inputs[key]
    if not others:
        return DenseJoint(snapshot, inputs, snapshot.covariance(), snapshot.trained, True)
    gain, keep = inputs.tangent[:, :n] @ snapshot.now.filter, np.eye(len(inputs.prior))
    keep[:, :n] -= gain
    keep[:n, :n] = snapshot.now.residual * np.exp(snapshot.now.log_scale)
    covariance = keep @ inputs.prior @ keep.T + snapshot.noise * gain @ gain.T
    if snapshot.summed.temperature > 0:
        covariance = covariance + snapshot.diffusion(inputs.tangent[:, :n], inputs.tangent)
    covariance = inputs.of((covariance + covariance.T) / 2)
    return DenseJoint(snapshot, inputs, covariance, inputs.of(gain), with_train)


def _bordered(train: np.ndarray, cross: np.ndarray, square: np.ndarray) -> np.ndarray:
    cross = to_numpy(cross)
    return np.block([[train, cross.T], [cross, to_numpy(square)]])


def _log_determinant(values: np.ndarray, error: float) -> tuple[float, float]:
    """Of a matrix with these eigenvalues, and what an error of the matrix changes."""
    error += len(values) ** 0.5 * EPSILON * float(values[-1])
    if values[0] <= 2 * error:
        raise NotCheckedError("the dense covariance is singular to rounding")
    return float(np.sum(np.log(values))), 2 * error * float(np.sum(1 / values))
