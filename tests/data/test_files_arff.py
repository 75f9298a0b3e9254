"""ARFF by this reader and by scipy's, where scipy's reads it."""

import io

import numpy as np
import pytest
from scipy.io import arff as scipy_arff

from ntkinfo.data import arff
from ntkinfo.data.arff_format import read_arff

HEADER = """% a comment
@RELATION 'my flowers'

@ATTRIBUTE 'sepal length' NUMERIC
@attribute wet {no,yes}
@attribute old {0, 1}
@attribute kind {virginica,'of Spain',setosa}
@DATA
"""


def rows(n=24):
    generator = np.random.default_rng(0)
    kinds = ("setosa", "'of Spain'", "virginica")
    cells = [(round(generator.normal(), 3), ("yes", "no")[k % 2], k % 2, kinds[k % 3]) for k in range(n)]
    return "".join(f"{a},{b},{c},{d}\n" for a, b, c, d in cells)


def test_both_readers_agree(tmp_path):
    text = (HEADER + "% in between\n\n" + rows()).replace("'of Spain'", "Spain")
    (tmp_path / "my.arff").write_text(text)
    theirs, meta = scipy_arff.loadarff(io.StringIO(text))
    ours = read_arff(tmp_path / "my.arff")
    assert list(ours.names) == meta.names()
    assert np.array_equal(ours.columns.values["sepal length"], theirs["sepal length"])
    assert ours.columns.values["old"].tolist() == [float(value) for value in theirs["old"]]
    for name in ("wet", "kind"):
        assert ours.columns.values[name].tolist() == [value.decode() for value in theirs[name]]
        assert ours.declared[name] == meta[name][1]
    data = arff(tmp_path / "my.arff", text_features="one-hot", standardise=False)
    assert data.class_names == ("virginica", "Spain", "setosa")
    assert data.provenance["features"] == "sepal length wet=no wet=yes old"
    known = {
        round(float(a), 3): value.decode() for a, value in zip(theirs["sepal length"], theirs["kind"], strict=True)
    }
    assert data.labels_train is not None
    assert [data.class_names[k] for k in data.labels_train] == [known[round(float(x), 3)] for x in data.x_train[:, 0]]


@pytest.mark.parametrize(
    ("header", "body"),
    [
        (HEADER.replace("'sepal length'", '"sepal length"'), rows()),
        (HEADER.replace("{no,yes}", "{ no , yes }").replace("'of Spain'", "'of Spain' "), rows().replace(",", " , ")),
        (HEADER.replace("'of Spain'", '"of Spain"'), rows()),
        (HEADER, rows().replace("'of Spain'", '"of Spain"')),
        (HEADER.replace("setosa", "sétosa"), rows().replace("setosa", "sétosa")),
        (HEADER.replace("\n", "\r\n"), rows().replace("\n", "\r\n")),
        (HEADER.replace("wet {", "wet{"), rows()),
        (HEADER, rows().replace(",", "\t")),
    ],
    ids=["name", "blanks", "quotes", "other quotes", "letters", "lines", "brace", "tabs"],
)
def test_what_weka_writes_otherwise_is_the_same_data(tmp_path, header, body):
    (tmp_path / "known.arff").write_text(HEADER + rows())
    (tmp_path / "my.arff").write_bytes((header + body).encode())
    known = arff(tmp_path / "known.arff", text_features="one-hot")
    assert arff(tmp_path / "my.arff", text_features="one-hot").fingerprint == known.fingerprint


@pytest.mark.parametrize(
    ("text", "message"),
    [
        (HEADER + rows() + "1,no,0,setosa,7\n", r"my\.arff, line 33 has 5 cells; the header declares 4 columns"),
        (HEADER + rows() + "1,no,0\n", "line 33 has 3 cells"),
        (HEADER + rows() + "1,no,0,rose\n", "line 33, column 'kind' holds 'rose', which the header does not declare"),
        (HEADER + rows() + "x,no,0,setosa\n", "line 33, column 'sepal length' holds 'x', which is not a number"),
        (HEADER + rows() + "?,no,0,setosa\n", "line 33, column 'sepal length' holds '.', which marks a missing value"),
        (HEADER + "{0 1.5, 3 setosa}\n", "is a sparse ARFF file .line 9."),
        (HEADER, "has no rows below @data"),
        (HEADER.split("@DATA")[0], "has no line @data"),
        (HEADER.replace("NUMERIC", "date 'yyyy'") + rows(), "column 'sepal length' is of the kind \"date 'yyyy'\""),
        (HEADER.replace("wet", "old") + rows(), "several columns named 'old'"),
        (HEADER + rows(), "column 'wet' holds 'yes', which is not a number.*text_features='one-hot'"),
        ("a,b\n1,2\n", "line 1 stands before @data"),
    ],
)
def test_what_cannot_be_read_is_refused(tmp_path, text, message):
    (tmp_path / "my.arff").write_text(text)
    with pytest.raises(ValueError, match=message):
        arff(tmp_path / "my.arff")


def test_a_test_part_of_its_own_and_answers_that_are_real(tmp_path):
    (tmp_path / "a.arff").write_text(HEADER + rows(12))
    (tmp_path / "b.arff").write_text(HEADER + rows(9))
    data = arff(tmp_path / "a.arff", test_path=tmp_path / "b.arff", features=["sepal length"])
    assert (len(data.x_train), len(data.x_test)) == (12, 9)
    assert data.class_names == ("virginica", "of Spain", "setosa")
    real = arff(tmp_path / "a.arff", "sepal length", ["old"], targets="regression", standardise_targets=False)
    assert set(real.y_train[:, 0]) <= {float(line.split(",")[0]) for line in rows(12).splitlines()}
