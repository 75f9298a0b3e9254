"""I(Z;D|X): what the output on an input says about the training set."""

from __future__ import annotations

from jaxtyping import Float

from ntkinfo.core.arrays import Array, float64, namespace
from ntkinfo.core.linear_algebra import Factored, cholesky, gaussian_relative_entropy
from ntkinfo.core.records import Estimate
from ntkinfo.training.output_law import OutputLaw


def relative_entropy_per_input(
    mean: Float[Array, "t m C"], log_variance: Float[Array, "t m"], initial_variance: Float[Array, " m"]
) -> Float[Array, "t m"]:
    """KL(N(mean_t, v_t I) ‖ N(0, P(x, x) I)) in nats at every time and input, summed over the outputs.

    Averaged over training sets it bounds I(Z;D|X=x) from above, as N(0, P) is one choice of the marginal
    (Shwartz-Ziv & Alemi 2019). Infinite where a varying function has become certain (v = 0 < P); 0 where the function
    never varied (P = 0, an all-zero input without biases). The logarithm of the variance is asked for because it goes
    on falling where the variance is too small for a floating-point number.
    """
    xp = namespace(mean, log_variance)
    outputs = mean.shape[2]
    fixed = (initial_variance == 0)[None, :]
    start = xp.where(fixed, 1.0, initial_variance[None, :])
    log_ratio = xp.where(fixed, 0.0, log_variance - xp.log(start))
    size = xp.einsum("tmc,tmc->tm", mean, mean) / start
    return 0.5 * (outputs * (xp.expm1(log_ratio) - log_ratio) + size)


def relative_entropy_joint(law: OutputLaw, initial_covariance: Float[Array, "p p"], time: float) -> Estimate:
    """KL between the joint laws of all the inputs' outputs at one time and at the start, in nats (Cholesky).

    Args:
        law: of the outputs at p inputs.
        initial_covariance: (p, p), of the function at the start at the same inputs, in `law`'s prior.
        time: any in [0, ∞].

    Raises:
        NotDefiniteError: a covariance is singular to rounding: inputs repeat, or training has left no variance.
    """
    with float64():
        start = Factored(cholesky(initial_covariance, "the initial covariance"))
        now = Factored(cholesky(law.covariance(time), f"the covariance at time {time:g}"))
        value = float(gaussian_relative_entropy(law.mean_once(time), now, start))
    return Estimate(value, start.rounding * abs(value), "exact", "Cholesky")
