"""From the records of a search to the table that is ranked: which columns measure, which were set, which is the gap."""

from __future__ import annotations

from collections.abc import Iterable

import numpy as np
import pyarrow as pa

from ntkinfo.core import checks
from ntkinfo.core.arguments import checked
from ntkinfo.generalization.evaluation import KERNELS
from ntkinfo.generalization.measure import Measure
from ntkinfo.generalization.registry import MEASURES
from ntkinfo.information.quantities import current_name
from ntkinfo.search.environments import TrialTable
from ntkinfo.search.trial_description import AXES

GAPS = tuple(
    prefix + name
    for prefix in ("", "finite_")
    for kind in ("error", "loss")
    for whose in ("mean", "member")
    for name in (f"{kind}_gap_{whose}", f"test_{kind}_{whose}")
)
"""What a ranking may be about: gaps test − train and what is found on the test inputs alone, of the law or of trained
networks (`finite_`)."""

_ERRORS = "_standard_error"
_ERROR = "error"  # column of the records that says what went wrong


def measure_columns() -> dict[str, Measure]:
    """The measure behind every column that may hold one: `evidence_nngp`, `evidence_ntk`, `trained_margin`, …."""
    found: dict[str, Measure] = {}
    for name, measure in MEASURES.items():
        of_kernels = "kernel" in measure.dims
        found |= {f"{name}_{kernel}": measure for kernel in KERNELS} if of_kernels else {name: measure}
    return found


@checked
def trial_table(rows: pa.Table, gap: str = "error_gap_mean", measures: Iterable[str] | None = None) -> TrialTable:
    """Sort the columns of a search's records.

    Trials with an error are left out, as are settings that are the same in all of them and measures that are the same
    in all trials of each data set. Every seed is a repeat.

    Args:
        rows: of `records.read_records`, a row a trial.
        gap: one of `GAPS`, what measures should rise with.
        measures: names of columns; None for all of the registry that the rows have.

    Returns:
        The table; errors come with the number of test inputs behind them, losses without.

    Raises:
        ValueError: an unknown gap or measure; no trials; a data set whose trials have no such gap (one without classes
            has no errors).
    """
    checks.choice("gap", gap, GAPS)
    rows = _under_current_names(rows)
    if _ERROR in rows.column_names:
        rows = rows.filter(rows[_ERROR].is_null())
    if gap in rows.column_names and gap.startswith("finite_"):
        # Times that no number of steps reaches have none.
        rows = rows.filter(pa.array(np.isfinite(_numbers(rows, gap)), pa.bool_()))
    if rows.num_rows == 0 or gap not in rows.column_names:
        raise ValueError(f"the records hold {rows.num_rows} trials without an error, and none with the column {gap!r}")
    known = measure_columns()
    wanted = tuple(known) if measures is None else tuple(map(current_name, measures))
    for name in wanted:
        checks.choice("measure", name, known)
    values, data = _numbers(rows, gap), np.array(rows["data"].to_pylist(), dtype=str)
    if "error" in gap:
        # Differences of shares of counted inputs: two that are equal must not differ by their last digit.
        values = np.round(values, 12)
    _require_gap(values, data, gap)
    columns = {name: _numbers(rows, name) for name in wanted if name in rows.column_names}
    kept = {name: column for name, column in columns.items() if measures is not None or _varies(column, data)}
    return TrialTable(
        measures=kept,
        gap=values,
        hyperparameters=_hyperparameters(rows),
        data_set=data,
        test_size=_numbers(rows, "n_test") if "error" in gap else None,
        errors={name: _numbers(rows, name + _ERRORS) for name in kept if name + _ERRORS in rows.column_names},
    )


def directions(names: Iterable[str]) -> dict[str, int]:
    """By measure, +1 where it is meant to rise with the gap, −1 where to fall, by the registry's "lower" and "higher".

    Raises:
        ValueError: a name that is no measure's column.
    """
    known = measure_columns()
    found: dict[str, int] = {}
    for name in names:
        checks.choice("measure", name, known)
        found[name] = 1 if known[name].direction == "lower" else -1
    return found


def baselines(names: Iterable[str]) -> tuple[str, ...]:
    """Those of the names that know hyperparameters alone."""
    known = measure_columns()
    return tuple(name for name in names if name in known and known[name].needs == ("hyperparameters",))


def _under_current_names(rows: pa.Table) -> pa.Table:
    """Columns of earlier versions under their names of today, also where both are there."""
    for name in rows.column_names:
        if (now := current_name(name)) == name:
            continue
        column = rows[name]
        rows = rows.drop_columns([name])
        if now in rows.column_names:
            both = zip(rows[now].to_pylist(), column.to_pylist(), strict=True)
            column = pa.array([old if new is None else new for new, old in both], pa.float64())
            rows = rows.drop_columns([now])
        rows = rows.append_column(now, column)
    return rows


def _numbers(rows: pa.Table, name: str) -> np.ndarray:
    """A column as floats, NaN where it is null."""
    return np.array([np.nan if v is None else v for v in rows[name].to_pylist()], dtype=np.float64)


def _require_gap(values: np.ndarray, data: np.ndarray, gap: str) -> None:
    without = np.unique(data[~np.isfinite(values)])
    if len(without):
        other = "loss" + gap.removeprefix("error") if gap.startswith("error") else gap.replace("error", "loss")
        raise ValueError(
            f"{int(np.sum(~np.isfinite(values)))} trials on {', '.join(without)} have no {gap}; data without classes "
            f"have no errors: take gap={other!r}, or leave the data set out"
        )


def _varies(column: np.ndarray, data: np.ndarray) -> bool:
    """Whether a measure has two different values on any one data set."""
    return any(len(np.unique(column[data == name])) > 1 for name in np.unique(data))


def _hyperparameters(rows: pa.Table) -> dict[str, np.ndarray]:
    """What was varied, but for the data set, which is told apart anyway, and the seed, which makes repeats."""
    found: dict[str, np.ndarray] = {}
    for name in AXES:
        if name in ("data", "seed") or name not in rows.column_names:
            continue
        values = rows[name].to_pylist()
        column = np.array(values, dtype=str if isinstance(values[0], str) else np.float64)
        if len(np.unique(column)) > 1:
            found[name] = column
    return found
