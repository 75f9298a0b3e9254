"""How the kernel lies to the targets, and the two kernels to each other."""

from __future__ import annotations

import numpy as np
from jaxtyping import Float

from ntkinfo.generalization.measure import Measure, NotComputable
from ntkinfo.generalization.views import KernelView, PairView


def target_alignment(view: KernelView) -> float:
    """⟨G, YYᵀ⟩/(‖G‖ ‖YYᵀ‖)."""
    return cosine(view.matrix, view.targets @ view.targets.T)


def centred_target_alignment(view: KernelView) -> float:
    """The same of kernel and targets without their means."""
    targets = view.targets - view.targets.mean(axis=0)
    return cosine(view.centred, targets @ targets.T)


def kernel_similarity(view: PairView) -> float:
    """⟨K_c, Θ_c⟩/(‖K_c‖ ‖Θ_c‖), the centred kernels."""
    return cosine(view.nngp.centred, view.ntk.centred)


def task_alignment(view: KernelView) -> float:
    """Mean over ranks of the share C(ρ) of the targets in the first ρ eigen-directions.

    Equal eigenvalues have no order: what lies along them is spread evenly among them.
    """
    energies = _spread_ties(view.eigenvalues, view.energies, view.spectrum.tolerance)[::-1]
    total = float(np.sum(energies))
    return float(np.mean(np.cumsum(energies))) / total


def cosine(first: Float[np.ndarray, "n n"], second: Float[np.ndarray, "n n"]) -> float:
    """⟨A, B⟩/(‖A‖ ‖B‖), Frobenius."""
    sizes = float(np.linalg.norm(first)) * float(np.linalg.norm(second))
    if sizes == 0:
        raise NotComputable("a kernel, or the targets, is constant: nothing is left of it to align")
    return float(np.vdot(first, second)) / sizes


def _spread_ties(values: np.ndarray, energies: np.ndarray, tolerance: float) -> np.ndarray:
    starts = np.flatnonzero(np.concatenate([[True], np.diff(values) > tolerance]))
    counts = np.diff(np.concatenate([starts, [len(values)]]))
    return np.repeat(np.add.reduceat(energies, starts) / counts, counts)


MEASURES = (
    Measure(
        name="target_alignment",
        symbol="KTA",
        unit="1",
        formula="⟨G, YYᵀ⟩/(‖G‖ ‖YYᵀ‖)",
        source="Cristianini et al. 2001",
        needs=("kernel", "targets"),
        direction="higher",
        place="kernel",
        function=target_alignment,
    ),
    Measure(
        name="centred_target_alignment",
        symbol="CKA(G,YYᵀ)",
        unit="1",
        formula="⟨G_c, Y_cY_cᵀ⟩/(‖G_c‖ ‖Y_cY_cᵀ‖), means taken out",
        source="Cortes, Mohri & Rostamizadeh 2012",
        needs=("kernel", "targets"),
        direction="higher",
        place="kernel",
        function=centred_target_alignment,
    ),
    Measure(
        name="kernel_similarity",
        symbol="CKA(K,Θ)",
        unit="1",
        formula="⟨K_c, Θ_c⟩/(‖K_c‖ ‖Θ_c‖)",
        source="Kornblith et al. 2019",
        needs=("kernel",),
        direction="higher",
        place="pair",
        function=kernel_similarity,
        outputs="does not depend on them",
    ),
    Measure(
        name="task_alignment",
        symbol="∫C(ρ)",
        unit="1",
        formula="mean over ρ of C(ρ) = Σ_{i≤ρ} |ŷ_i|²/Σ |ŷ_i|²",
        source="Canatar, Bordelon & Pehlevan 2021",
        needs=("kernel", "targets"),
        direction="higher",
        place="kernel",
        function=task_alignment,
    ),
)
