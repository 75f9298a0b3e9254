"""Text files of the matrix: CSV and its kin, libsvm, ARFF."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from sklearn.datasets import dump_svmlight_file

from tests.data.file_matrix import Case, Expected

_N = 20
_RANDOM = np.random.default_rng(0)
X = _RANDOM.normal(size=(_N, 2)).round(3)
KINDS = [("versicolor", "setosa", "virginica")[k % 3] for k in range(_N)]
NUMBERS = [(10, 9)[k % 2] for k in range(_N)]
PRICES = _RANDOM.normal(size=(_N, 1)).round(3)
CITIES = [("Oslo", "Rome")[k // 10] for k in range(_N)]
BY_KIND = Expected(X, KINDS, ("setosa", "versicolor", "virginica"))
NAMED = Expected(X, KINDS, ("setosa", "versicolor", "virginica"), features="a b")
BY_NUMBER = Expected(X, [str(k) for k in NUMBERS], ("9", "10"))
BY_PRICE = Expected(X, PRICES)
PARTED = Expected(X, KINDS, ("setosa", "versicolor", "virginica"), test=8, features="a b")


def frame(rows=slice(None), **columns):
    """A pandas table of the inputs with these answers."""
    pandas = pytest.importorskip("pandas")
    made = pandas.DataFrame({"a": X[:, 0], "b": X[:, 1], **columns})
    return made.iloc[rows]


def pandas_csv(target="kind", name="my.csv", reads=None, table=None, **options):
    """A file by DataFrame.to_csv with these options, read with `reads`."""

    def make(folder: Path) -> dict[str, Any]:
        made = frame(kind=KINDS) if table is None else table()
        made.to_csv(folder / name, **{"index": False, **options})
        return {"data": "csv", "path": folder / name, "target": target, **(reads or {})}

    return make


def text_csv(text, target="kind", name="my.csv", **reads):
    """A file of this text, as a program that is not at hand writes it."""

    def make(folder: Path) -> dict[str, Any]:
        (folder / name).write_bytes(text if isinstance(text, bytes) else text.encode())
        return {"data": "csv", "path": folder / name, "target": target, **reads}

    return make


def lines(pattern, header="", answers=KINDS, numbers="{:g}", comma=False):
    """A header, and one line a row by a pattern with {a}, {b}, {y} and {i}, the number of the row from 1."""
    made = []
    for k, ((a, b), y) in enumerate(zip(X, answers, strict=True), start=1):
        cells = [numbers.format(value).replace(".", "," if comma else ".") for value in (a, b)]
        made.append(pattern.format(a=cells[0], b=cells[1], y=y, i=k))
    return "".join(f"{line}\n" for line in ([header] if header else []) + made)


def savetxt(target, reads=None, **options):
    """A file by numpy.savetxt, answers last."""

    def make(folder: Path) -> dict[str, Any]:
        np.savetxt(folder / "my.txt", np.column_stack([X, NUMBERS]), **options)
        return {"data": "csv", "path": folder / "my.txt", "target": target, **(reads or {})}

    return make


def arrow_csv(folder: Path) -> dict[str, Any]:
    import pyarrow
    from pyarrow import csv

    csv.write_csv(pyarrow.table({"a": X[:, 0], "b": X[:, 1], "kind": KINDS}), folder / "my.csv")
    return {"data": "csv", "path": folder / "my.csv", "target": "kind"}


def two_files(test_index, **test_options):
    """Training and test part in files of their own."""

    def make(folder: Path) -> dict[str, Any]:
        frame(slice(0, 12), kind=KINDS).to_csv(folder / "train.csv", index=False)
        frame(slice(12, None), kind=KINDS).to_csv(folder / "test.csv", index=test_index, **test_options)
        return {"data": "csv", "path": folder / "train.csv", "test_path": folder / "test.csv", "target": "kind"}

    return make


def dummies():
    return frame(kind=KINDS).join(pytest.importorskip("pandas").get_dummies(KINDS)).drop(columns="kind")


def with_city(**columns):
    return lambda: frame(city=CITIES, **columns)


def with_gap(column, rows):
    def made():
        table = frame(kind=KINDS)
        table.loc[rows, column] = None
        return table

    return made


def svmlight(split=None, **options):
    """A file by scikit-learn, or two where the first `split` rows are the training part."""

    def make(folder: Path) -> dict[str, Any]:
        parts = {"my.libsvm": slice(0, split)} | ({"my.libsvm.t": slice(split, None)} if split else {})
        for name, rows in parts.items():
            dump_svmlight_file(SPARSE[rows], SIGNS[rows], str(folder / name), **options)
        test = {"test_path": folder / "my.libsvm.t"} if split else {}
        return {"data": "libsvm", "path": folder / "my.libsvm", **test}

    return make


def weka(header, pattern, **reads):
    """An ARFF file as Weka writes it."""
    text = "".join(f"@attribute {line}\n" for line in header)

    def make(folder: Path) -> dict[str, Any]:
        (folder / "my.arff").write_text(f"@relation flowers\n\n{text}\n@data\n{lines(pattern)}", encoding="utf-8")
        return {"data": "arff", "path": folder / "my.arff", **reads}

    return make


def multi_label(folder: Path) -> dict[str, Any]:
    (folder / "my.svm").write_text("1,2 1:0.5\n3 2:1\n")
    return {"data": "libsvm", "path": folder / "my.svm"}


SIGNS = np.where(np.arange(_N) % 2, 1, -1)
SPARSE = np.where(np.abs(X) < 0.2, 0, X)
BY_SIGN = Expected(SPARSE, [str(k) for k in SIGNS], ("-1", "1"))
MEASURED = ["a numeric", "b real"]
FLOWERS = "kind {virginica, versicolor, setosa, extinct}"
QUOTED = "'the kind' {'virginica','versicolor' , \"setosa\"}"
DECLARED = Expected(X, KINDS, ("virginica", "versicolor", "setosa"), features="a b")
CASES = [
    Case("CSV with names", "pandas", pandas_csv(), NAMED),
    Case("CSV with names", "pyarrow", arrow_csv, NAMED),
    Case("CSV with the row number before it", "pandas", pandas_csv(index=True), NAMED),
    Case("CSV without names", "pandas", pandas_csv(header=False, target="3"), BY_KIND),
    Case("CSV without names, the last column by -1", "pandas", pandas_csv(header=False, target="-1"), BY_KIND),
    Case(
        "CSV without names, a column by name",
        "pandas",
        pandas_csv(header=False),
        "has no column 'kind': line 1 is taken for values",
    ),
    Case(
        "CSV with columns numbered from 0",
        "pandas of an array",
        pandas_csv("2", table=lambda: frame(kind=NUMBERS).set_axis([0, 1, 2], axis=1)),
        BY_NUMBER,
    ),
    Case("CSV, whole numbers as classes", "pandas", pandas_csv(table=lambda: frame(kind=NUMBERS)), BY_NUMBER),
    Case(
        "CSV, classes stored as 9.0 and 10.0",
        "pandas",
        pandas_csv(table=lambda: frame(kind=np.array(NUMBERS, dtype=float))),
        BY_NUMBER,
    ),
    Case(
        "CSV, classes true and false",
        "pandas",
        pandas_csv(table=lambda: frame(kind=[k % 2 == 0 for k in range(_N)])),
        Expected(X, [str(k % 2 == 0) for k in range(_N)], ("False", "True")),
    ),
    Case(
        "CSV, real answers",
        "pandas",
        pandas_csv("price", reads={"targets": "regression"}, table=lambda: frame(price=PRICES[:, 0])),
        BY_PRICE,
    ),
    Case(
        "CSV, two real answers",
        "pandas",
        pandas_csv(
            ["price", "rent"],
            reads={"targets": "regression"},
            table=lambda: frame(price=PRICES[:, 0], rent=-2 * PRICES[:, 0]),
        ),
        Expected(X, np.concatenate([PRICES, -2 * PRICES], axis=1)),
    ),
    Case(
        "CSV, answers in one-hot columns",
        "pandas.get_dummies",
        pandas_csv(["virginica", "setosa", "versicolor"], table=dummies),
        Expected(X, KINDS, ("virginica", "setosa", "versicolor")),
    ),
    Case(
        "CSV, several columns of classes",
        "pandas",
        pandas_csv(["kind", "a"]),
        "classes need one column, or such one-hot columns",
    ),
    Case(
        "CSV, a column of text",
        "pandas",
        pandas_csv(table=with_city(kind=KINDS)),
        "line 2, column 'city' holds 'Oslo', which is not a number",
    ),
    Case(
        "CSV, a column of text made one-hot",
        "pandas",
        pandas_csv(reads={"text_features": "one-hot"}, table=with_city(kind=KINDS)),
        Expected(
            np.column_stack([X, [c == "Oslo" for c in CITIES], [c == "Rome" for c in CITIES]]),
            KINDS,
            ("setosa", "versicolor", "virginica"),
            features="a b city=Oslo city=Rome",
        ),
    ),
    Case(
        "CSV, a feature true and false",
        "pandas",
        pandas_csv(table=lambda: frame(old=[k < 5 for k in range(_N)], kind=KINDS)),
        Expected(np.column_stack([X, [k < 5 for k in range(_N)]]), KINDS, ("setosa", "versicolor", "virginica")),
    ),
    Case(
        "CSV, some of the columns",
        "pandas",
        pandas_csv(reads={"features": ["b"]}),
        Expected(X[:, 1:], KINDS, ("setosa", "versicolor", "virginica"), features="b"),
    ),
    Case(
        "CSV with missing features",
        "pandas (empty cells)",
        pandas_csv(table=with_gap("a", [3, 7])),
        "line 5, column 'a' is empty; fill it in or remove the line (2 such cells",
    ),
    Case(
        "CSV with missing features",
        "pandas (na_rep=NA)",
        pandas_csv(table=with_gap("a", [3]), na_rep="NA"),
        "line 5, column 'a' holds 'NA', which marks a missing value",
    ),
    Case(
        "CSV with a missing class",
        "pandas (na_rep=?)",
        pandas_csv(table=with_gap("kind", [3]), na_rep="?"),
        "line 5, column 'kind' holds '?', which marks a missing value; each input needs a class",
    ),
    Case("CSV in UTF-8 with a byte-order mark", "pandas", pandas_csv(encoding="utf-8-sig"), NAMED),
    Case(
        "CSV in Latin-1",
        "pandas",
        pandas_csv(table=lambda: frame(kind=[f"Größe {k}" for k in KINDS]), encoding="latin-1"),
        "is not UTF-8 text",
    ),
    Case("CSV packed with gzip", "pandas", pandas_csv(name="my.csv.gz"), NAMED),
    Case("CSV packed with bzip2", "pandas", pandas_csv(name="my.csv.bz2"), NAMED),
    Case("CSV packed with xz", "pandas", pandas_csv(name="my.csv.xz"), NAMED),
    Case(
        "CSV packed as ZIP",
        "pandas",
        pandas_csv(name="my.csv.zip"),
        "is a ZIP archive, or a workbook of Excel; unpack it",
    ),
    Case("Columns between tabs", "pandas", pandas_csv(sep="\t", name="my.tsv"), NAMED),
    Case("Columns between semicolons", "pandas", pandas_csv(sep=";"), NAMED),
    Case("Columns between bars, said", "pandas", pandas_csv(sep="|", reads={"delimiter": "|"}), NAMED),
    Case("Columns between semicolons, decimal commas", "pandas", pandas_csv(sep=";", decimal=","), NAMED),
    Case("Columns between tabs, decimal commas", "pandas", pandas_csv(sep="\t", decimal=",", name="my.txt"), NAMED),
    Case(
        "Columns between semicolons, decimal commas and points",
        "by hand",
        text_csv("a;b;kind\n1,5;2;u\n1;2.5;v\n"),
        "a comma and a point as decimal mark",
    ),
    Case(
        "Columns between semicolons, commas that may be thousands",
        "by hand",
        text_csv("a;b;kind\n1,500;2;u\n1,250;2;v\n"),
        "may be a fraction or thousands; say decimal=','",
    ),
    Case("Columns between blanks, without names", "numpy.savetxt", savetxt("-1"), BY_NUMBER),
    Case(
        "Columns between blanks, names after #",
        "numpy.savetxt",
        savetxt("kind", header="made today\na b kind"),
        BY_NUMBER,
    ),
    Case("Columns between commas, without names", "numpy.savetxt", savetxt("3", delimiter=","), BY_NUMBER),
    Case(
        "Columns of fixed width, without names",
        "Fortran, UCI",
        text_csv(lines("  {a:>8}  {b:>8}  {y}", answers=NUMBERS), "3", "my.data"),
        BY_NUMBER,
    ),
    Case(
        "Table with row names",
        "R write.table",
        text_csv(lines('"{i}" {a} {b} "{y}"', '"a" "b" "kind"'), name="my.txt"),
        NAMED,
    ),
    Case("Table with row names", "R write.csv", text_csv(lines('"{i}",{a},{b},"{y}"', '"","a","b","kind"')), NAMED),
    Case(
        "Table with row names",
        "R write.csv2",
        text_csv(lines('"{i}";{a};{b};"{y}"', '"";"a";"b";"kind"', comma=True)),
        NAMED,
    ),
    Case(
        "Text between tabs in UTF-16",
        "Excel",
        text_csv(lines("{a}\t{b}\t{y}", "a\tb\tkind").encode("utf-16"), name="my.txt"),
        NAMED,
    ),
    Case("CSV with sep=; in the first line", "Excel", text_csv(lines("{a};{b};{y}", "sep=;\na;b;kind")), NAMED),
    Case("CSV whose lines end in a comma", "spreadsheets", text_csv(lines("{a},{b},{y},", "a,b,kind,")), NAMED),
    Case("CSV with training and test part in files of their own", "pandas", two_files(False), PARTED),
    Case("CSV, the test part with row numbers", "pandas", two_files(True), PARTED),
    Case("CSV, the test part without names", "pandas", two_files(False, header=False), PARTED),
    Case(
        "CSV, the test part without the answers", "pandas", two_files(False, columns=["a", "b"]), "has no column 'kind'"
    ),
    Case("libsvm, features from 1", "scikit-learn", svmlight(zero_based=False), BY_SIGN),
    Case("libsvm, features from 0", "scikit-learn", svmlight(zero_based=True), BY_SIGN),
    Case("libsvm with a comment", "scikit-learn", svmlight(zero_based=False, comment="made today"), BY_SIGN),
    Case(
        "libsvm, training and test part in files of their own",
        "scikit-learn",
        svmlight(split=12, zero_based=False),
        Expected(SPARSE, BY_SIGN.answers, BY_SIGN.classes, test=8),
    ),
    Case("libsvm, several labels a line", "libsvm", multi_label, "is no libsvm file of one label a line"),
    Case("ARFF, the last column declared", "Weka", weka([*MEASURED, FLOWERS], "{a},{b},{y}"), DECLARED),
    Case(
        "ARFF, quoted names, answers in the first column",
        "Weka, OpenML",
        weka([QUOTED, *MEASURED], "'{y}',{a},{b}", target="the kind"),
        DECLARED,
    ),
    Case(
        "ARFF, sparse",
        "Weka",
        weka([*MEASURED, FLOWERS], "{{0 {a}, 1 {b}, 2 {y}}}"),
        "is a sparse ARFF file (line 8); write it dense",
    ),
    Case(
        "ARFF with missing values",
        "Weka",
        weka([*MEASURED, FLOWERS], "{a},?,{y}"),
        "line 8, column 'b' holds '?', which marks a missing value",
    ),
]
