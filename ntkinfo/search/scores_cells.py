"""Means over the pairs of a data set that differ in one hyperparameter: what granulated coefficients are made of."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from jaxtyping import Float, Int

from ntkinfo.search.environments import Pairs


@dataclass(frozen=True)
class Cells:
    """Pairs sorted by data set and hyperparameter, with weights that make every group of trials count the same.

    Args:
        order: of the pairs, (P,).
        weight: one over the number of pairs in the group, (P,), in that order.
        start: where each cell begins, (c,).
        varied: hyperparameter of each cell, (c,).
        data_set: of each cell, (c,).
    """

    order: Int[np.ndarray, " p"]
    weight: Float[np.ndarray, " p"]
    start: Int[np.ndarray, " c"]
    varied: Int[np.ndarray, " c"]
    data_set: Int[np.ndarray, " c"]

    @classmethod
    def of(cls, pairs: Pairs, count: int) -> Cells:
        """Sort the pairs; `count` is the number of hyperparameters."""
        key = pairs.data_set * count + pairs.varied
        order = np.argsort(key, kind="stable")
        sizes = np.bincount(pairs.group)
        cells, start = np.unique(key[order], return_index=True)
        return cls(order, 1.0 / sizes[pairs.group[order]], start, cells % count, cells // count)

    @property
    def hyperparameters(self) -> Int[np.ndarray, " q"]:
        """Indices of the hyperparameters that vary in some pair."""
        return np.unique(self.varied)

    @property
    def slices(self) -> list[slice]:
        """The pairs of each cell."""
        ends = np.append(self.start[1:], len(self.order))
        return [slice(begin, end) for begin, end in zip(self.start, ends, strict=True)]

    @property
    def linear(self) -> Float[np.ndarray, " p"]:
        """Weights c_e with Ψ = Σ_e c_e sign Δμ sign Δg."""
        found = self.weight.copy()
        cells = np.bincount(self.varied)
        for part, varied in zip(self.slices, self.varied, strict=True):
            found[part] /= found[part].sum() * cells[varied] * len(self.hyperparameters)
        return found

    def means(self, rows: np.ndarray, columns: np.ndarray, weights: np.ndarray | None = None) -> np.ndarray:
        """Σ_e w_e rows_ke columns_eb / Σ_e w_e in every cell, (K, c, B); weights (P, B) multiply groups'."""
        found = []
        for part in self.slices:
            share = self.weight[part, None] * (1.0 if weights is None else weights[part])
            found.append(rows[:, part] @ (share * columns[part]) / share.sum(axis=0))
        return np.stack(found, axis=1)

    def by_hyperparameter(self, cells: np.ndarray) -> np.ndarray:
        """Mean over data sets: from (K, c, ...) to (K, q, ...)."""
        return np.stack([cells[:, self.varied == h].mean(axis=1) for h in self.hyperparameters], axis=1)

    def by_data_set(self, cells: np.ndarray) -> np.ndarray:
        """Mean over hyperparameters: from (K, c, ...) to (K, D, ...); data sets without pairs are NaN."""
        count = int(self.data_set.max()) + 1
        found = np.full((len(cells), count, *cells.shape[2:]), np.nan)
        for d in np.unique(self.data_set):
            found[:, d] = cells[:, self.data_set == d].mean(axis=1)
        return found
