"""Seeded splits into train and test, and label noise. Every function is deterministic for its seed."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from jaxtyping import Bool, Float, Int

from ntkinfo.core import checks

# One independent random stream a purpose, so that label noise never changes which inputs were drawn.
SPLIT, TRAIN_NOISE, TEST_NOISE, TEST_SPLIT = range(4)


def generator(seed: int, stream: int) -> np.random.Generator:
    """The random generator of one purpose under a seed.

    Args:
        seed: a whole number, 0 or greater.
        stream: one of SPLIT, TRAIN_NOISE, TEST_NOISE, TEST_SPLIT.

    Returns:
        A numpy generator, independent between streams.
    """
    checks.whole("seed", seed, least=0)
    return np.random.default_rng(np.random.SeedSequence(int(seed), spawn_key=(stream,)))


def split_sizes(total: int, n_train: int | None, n_test: int | None, source: str = "the data") -> tuple[int, int]:
    """The sizes of the two parts of a pool, with what was left open filled in.

    Args:
        total: inputs in the pool.
        n_train: training inputs; None takes all that `n_test` leaves, or four fifths where both are None.
        n_test: test inputs; None takes all that `n_train` leaves.
        source: what to call the pool in messages.

    Returns:
        (n_train, n_test), both at least 1, together at most `total`.

    Raises:
        ValueError: an empty part, or more inputs than the pool holds.
        TypeError: sizes that are not whole numbers.
    """
    for name, size in (("n_train", n_train), ("n_test", n_test)):
        if size is not None:
            checks.whole(name, size)
    if n_train is None:
        n_train = total - n_test if n_test is not None else total * 4 // 5
    if n_test is None:
        n_test = total - n_train
    if n_train < 1 or n_test < 1 or n_train + n_test > total:
        raise ValueError(
            f"n_train = {n_train} and n_test = {n_test} do not fit {source}, which holds {total} inputs; "
            f"each part needs at least 1 input and both together at most {total}"
        )
    return int(n_train), int(n_test)


def part_size(total: int, size: int | None, name: str, source: str) -> int:
    """The size of one part that the source already keeps apart; None takes all of it.

    Raises:
        ValueError: fewer than 1 or more than `total` inputs.
    """
    if size is None:
        size = total
    checks.whole(name, size)
    if size > total:
        raise ValueError(f"{name} is {size}, but {source} holds {total} inputs; ask for at most {total}")
    return int(size)


def shuffled_split(total: int, sizes: Sequence[int], generator: np.random.Generator) -> list[Int[np.ndarray, " _"]]:
    """Disjoint random rows of a pool, one array a part.

    Args:
        total: inputs in the pool.
        sizes: the size of each part; together at most `total`.
        generator: the source of randomness.

    Returns:
        For each part its row numbers, in random order.
    """
    order = generator.permutation(total)
    return np.split(order[: sum(sizes)], np.cumsum(sizes)[:-1])


def stratified_split(
    labels: Int[np.ndarray, " n"], sizes: Sequence[int], generator: np.random.Generator
) -> list[Int[np.ndarray, " _"]]:
    """Disjoint random rows of a pool, each part with the pool's class proportions.

    Args:
        labels: class of each input in the pool.
        sizes: the size of each part; together at most the pool.
        generator: the source of randomness.

    Returns:
        For each part its row numbers, in random order. A class of share p has in a part of size s either
        floor(s p) or ceil(s p) inputs.
    """
    classes, counts = np.unique(labels, return_counts=True)
    table = proportional_counts(counts, sizes)
    parts: list[list[np.ndarray]] = [[] for _ in sizes]
    for label, row in zip(classes, table, strict=True):
        members = generator.permutation(np.flatnonzero(labels == label))
        for part, rows in zip(parts, np.split(members[: row.sum()], np.cumsum(row)[:-1]), strict=True):
            part.append(rows)
    return [generator.permutation(np.concatenate(part)) for part in parts]


def proportional_counts(counts: Int[np.ndarray, " c"], sizes: Sequence[int]) -> Int[np.ndarray, "c p"]:
    """How many inputs of each class go into each part.

    Rounds the table counts_i * sizes_j / total down or up so that every column keeps its sum and no class is
    used beyond its count. The extra units form a transport problem with whole-number bounds, whose constraint matrix is
    totally unimodular; the exact proportions are a feasible point, so a whole-number solution always exists.
    Among those the largest remainders are served first.

    Args:
        counts: inputs of each class in the pool.
        sizes: the size of each part; together at most the pool.

    Returns:
        Whole numbers, one row a class, one column a part.
    """
    from scipy.optimize import linprog

    total, wanted = int(np.sum(counts)), np.asarray(sizes, dtype=np.int64)
    floors, remainders = np.divmod(counts[:, None] * wanted[None, :], total)
    classes, parts = floors.shape
    solution = linprog(
        -remainders.ravel() / total,
        A_ub=np.kron(np.eye(classes), np.ones((1, parts))),
        b_ub=counts - floors.sum(axis=1),
        A_eq=np.kron(np.ones((1, classes)), np.eye(parts)),
        b_eq=wanted - floors.sum(axis=0),
        bounds=np.stack([np.zeros(floors.size), remainders.ravel() > 0], axis=1),
        method="highs-ds",
    )
    if not solution.success:
        raise ValueError(f"parts of sizes {list(sizes)} cannot be drawn from classes of sizes {list(counts)}")
    return floors + np.rint(solution.x).astype(np.int64).reshape(floors.shape)


def flip_labels(
    labels: Int[np.ndarray, " n"], n_classes: int, rate: float, generator: np.random.Generator
) -> tuple[Int[np.ndarray, " n"], Bool[np.ndarray, " n"]]:
    """Replace each label, with probability `rate`, by one of the other classes drawn uniformly.

    Args:
        labels: classes from 0 to n_classes - 1.
        n_classes: how many classes there are, at least 2. With 2 a replaced label is a flipped one.
        rate: probability of a replacement, from 0 to 1.
        generator: the source of randomness.

    Returns:
        The labels with noise, and where they were replaced.

    Raises:
        ValueError: a rate outside [0, 1], or fewer than two classes.
    """
    checks.probability("label_noise", rate)
    checks.whole("n_classes", n_classes, least=2)
    flipped = generator.random(len(labels)) < rate
    shift = generator.integers(1, n_classes, size=len(labels))
    return np.where(flipped, (labels + shift) % n_classes, labels), flipped


def add_noise(
    targets: Float[np.ndarray, "n c"], std: float, generator: np.random.Generator
) -> Float[np.ndarray, "n c"]:
    """Targets plus independent Gaussian noise.

    Args:
        targets: real targets.
        std: standard deviation of the noise, in the unit of the targets; 0 or greater.
        generator: the source of randomness.

    Returns:
        The targets with noise.

    Raises:
        ValueError: a negative or non-finite deviation.
    """
    checks.non_negative("label_noise", std)
    return targets + std * generator.standard_normal(targets.shape)


def equal_rows(rows: np.ndarray) -> Int[np.ndarray, " n"]:
    """Number the different rows in the order of their first places; rows are equal where every number is."""
    numbers: dict[bytes, int] = {}
    flat = rows.reshape(len(rows), -1)
    # −0 equals 0 and has other bytes; whole numbers have no −0.
    flat = flat + 0.0 if flat.dtype.kind == "f" else np.ascontiguousarray(flat)
    return np.array([numbers.setdefault(row.tobytes(), len(numbers)) for row in flat], dtype=np.int64)


def together(
    train: Int[np.ndarray, " n"],
    test: Int[np.ndarray, " m"],
    groups: Int[np.ndarray, " nm"],
    strata: Int[np.ndarray, " pool"],
) -> tuple[Int[np.ndarray, " n"], Int[np.ndarray, " m"], int]:
    """Exchange rows between two parts so that the rows of a group lie in one of them; the sizes stay.

    A group goes where its row of the lowest number was drawn, so it is tested as often as any other row. Each row that
    moves is exchanged for one of its stratum that is alone in its group (of another stratum where there is none left).

    Args:
        train: drawn row numbers.
        test: likewise.
        groups: group of each of these rows, first those of `train`.
        strata: class of every row of the pool.

    Returns:
        Both parts, and how many rows were moved for a group. A group is left torn where nothing is left to exchange.
    """
    rows, in_train = np.concatenate([train, test]), np.arange(len(groups)) < len(train)
    sizes, moved = np.bincount(groups), 0
    alone = {side: np.flatnonzero((sizes[groups] == 1) & (in_train == side)) for side in (True, False)}
    order, ends = np.argsort(groups, kind="stable"), np.cumsum(sizes)
    for group in np.flatnonzero(sizes > 1):
        members = order[ends[group] - sizes[group] : ends[group]]
        home = bool(in_train[members[np.argmin(rows[members])]])
        for member in members[in_train[members] != home]:
            if len(alone[home]) == 0:
                break
            # The first of the stratum, or of any stratum where none is left.
            place = int(np.argmax(strata[rows[alone[home]]] == strata[rows[member]]))
            other = alone[home][place]
            alone[home] = np.delete(alone[home], place)
            rows[[member, other]] = rows[[other, member]]
            moved += 1
    return rows[: len(train)], rows[len(train) :], moved
