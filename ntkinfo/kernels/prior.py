"""A network's own prior as the covariance of a teacher."""

from __future__ import annotations

from collections.abc import Callable

from ntkinfo.core.arguments import checked
from ntkinfo.core.arrays import Array
from ntkinfo.kernels.blocks import NetworkKernels
from ntkinfo.kernels.network import Network


@checked
def network_prior(network: Network) -> Callable[[Array], Array]:
    """Return the NNGP kernel of any set of inputs, (n, ...) to (n, n), as `ntkinfo.data.teacher_gp` takes it.

        data = ni.data.teacher_gp(ni.network_prior(network), x_train, x_test, noise_variance=0.1)

    draws targets from the law of the network's outputs at initialisation, plus noise: the label model under which
    the exact values of I(Z;D|X) and of the evidence hold.
    """
    return lambda inputs: NetworkKernels(network, inputs).train().nngp
