"""`ntkinfo bottleneck` reads tables and samples from the files that `ntkinfo curves` reads."""

import gzip

import numpy as np
import pandas as pd
import pytest
from pyarrow import parquet
from pyarrow import table as arrow_table
from scipy.io import savemat
from sklearn.datasets import dump_svmlight_file

from ntkinfo.bottleneck_assembly import cross_checks, problem
from ntkinfo.bottleneck_config import BottleneckConfig
from ntkinfo.config_reading import ConfigError, load_config

RANDOM = np.random.default_rng(0)
COUNTS = np.array([[30.0, 10.0, 0.0], [5.0, 25.0, 20.0]])
N = 200
X = RANDOM.normal(size=(N, 2)).round(3)
Y = (X @ [[1.0], [0.5]] + RANDOM.normal(size=(N, 1))).round(3)
KIND = np.where(X[:, 0] > 0, "plus", "minus")
FRAME = pd.DataFrame({"a": X[:, 0], "b": X[:, 1], "y": Y[:, 0]})


def read(path, name, **flags):
    given = {f"--{key.replace('_', '-')}": value for key, value in flags.items()}
    config = load_config(BottleneckConfig, None, {"--problem": name, "--path": str(path), **given}, cross_checks)
    return problem(config)


def joint(law):
    return law.input_law[:, None] * law.conditional


def written(path, text):
    path.write_bytes(text if isinstance(text, bytes) else text.encode())
    return path


def rows(delimiter, decimal="."):
    return "".join(delimiter.join(f"{cell:g}" for cell in row).replace(".", decimal) + "\n" for row in COUNTS + 0.5)


@pytest.mark.parametrize(
    ("name", "text"),
    [
        ("t.csv", rows(",")),
        ("t.csv", rows(";", ",")),
        ("t.tsv", rows("\t")),
        ("t.txt", rows("   ")),
        ("t.csv.gz", gzip.compress(rows(",").encode())),
        ("t.csv", b"\xef\xbb\xbf" + rows(",").encode()),
        ("t.csv", pd.DataFrame(COUNTS + 0.5, columns=list("uvw")).to_csv()),
        ("t.csv", pd.DataFrame(COUNTS + 0.5, columns=list("uvw"), index=["no", "yes"]).to_csv(index_label="x")),
        ("t.csv", pd.DataFrame(COUNTS + 0.5, columns=list("uvw")).to_csv(index=False)),
        ("t.txt", '"u" "v" "w"\n"1" 30.5 10.5 0.5\n"2" 5.5 25.5 20.5\n'),
    ],
    ids=["comma", "decimal comma", "tab", "blanks", "gzip", "mark", "pandas", "named rows", "named columns", "R"],
)
def test_a_table_of_a_joint_law_in_any_text(tmp_path, name, text):
    law = read(written(tmp_path / name, text), "joint")
    np.testing.assert_allclose(joint(law), (COUNTS + 0.5) / (COUNTS + 0.5).sum(), atol=1e-15)


def pairs():
    """Samples that meet as often as COUNTS says, in mixed order."""
    i, j = np.indices(COUNTS.shape)
    times = COUNTS.astype(int).ravel()
    x, y = np.repeat(i.ravel(), times), np.repeat(j.ravel(), times)
    order = RANDOM.permutation(len(x))
    return x[order], y[order]


def test_samples_are_counted_from_every_file(tmp_path):
    x, y = pairs()
    names = np.array(["red", "blue"])[x]
    frame = pd.DataFrame({"x": x, "y": np.array(["a", "b", "c"])[y]})
    frame.to_csv(tmp_path / "p.csv", index=False)
    frame.assign(x=names).to_csv(tmp_path / "text.csv", sep=";")
    np.savetxt(tmp_path / "p.txt", np.column_stack([x, y]), fmt="%d")
    parquet.write_table(arrow_table({"x": x, "y": y}), tmp_path / "p.parquet")
    np.savez(tmp_path / "p.npz", inputs=x[:, None], label=np.array(["a", "b", "c"])[y])
    savemat(tmp_path / "p.mat", {"X": x[:, None].astype(float), "y": y[:, None]})
    dump_svmlight_file(x[:, None], y, str(tmp_path / "p.svm"), zero_based=False)
    head = "@relation r\n@attribute x {0,1}\n@attribute y {0,1,2}\n@data\n"
    written(tmp_path / "p.arff", head + "".join(f"{a},{b}\n" for a, b in zip(x, y, strict=True)))
    known = COUNTS / COUNTS.sum()
    for name, flags in {
        "p.csv": {"target": "y"},
        "p.txt": {"target": "2"},
        "p.parquet": {"target": "y"},
        "p.npz": {"x_field": "inputs", "y_field": "label"},
        "p.mat": {"x_variable": "X", "y_variable": "y"},
        "p.svm": {},
        "p.arff": {},
    }.items():
        np.testing.assert_allclose(joint(read(tmp_path / name, "joint", **flags)), known, atol=1e-15, err_msg=name)
    by_text = joint(read(tmp_path / "text.csv", "joint", target="y"))
    np.testing.assert_allclose(by_text[np.argsort(by_text[:, 2])], known, atol=1e-15)
    kept = joint(read(tmp_path / "p.csv", "joint", target="y", classes="c,a"))
    np.testing.assert_allclose(kept, COUNTS[:, [2, 0]] / COUNTS[:, [2, 0]].sum(), atol=1e-15)


def test_real_samples_have_the_same_covariance_from_every_file(tmp_path):
    np.savez(tmp_path / "s.npz", x=X, y=Y)
    FRAME.to_csv(tmp_path / "s.csv", index=False)
    FRAME.to_csv(tmp_path / "s.txt", index=False, sep="\t", decimal=",", header=False)
    FRAME.to_parquet(tmp_path / "s.parquet")
    savemat(tmp_path / "s.mat", {"X": X, "y": Y})
    known = read(tmp_path / "s.npz", "samples")
    for name, flags in {
        "s.csv": {"target": "y"},
        "s.txt": {"target": "-1"},
        "s.parquet": {"target": "y"},
        "s.npz": {"x_field": "x", "y_field": "y"},
        "s.mat": {},
    }.items():
        found = read(tmp_path / name, "samples", **flags)
        assert found.samples == N
        for part in ("covariance_x", "covariance_y", "cross_covariance"):
            left, right = getattr(found.bottleneck, part), getattr(known.bottleneck, part)
            np.testing.assert_allclose(left, right, rtol=0, atol=1e-12, err_msg=name)


def test_classes_are_one_hot_among_real_samples(tmp_path):
    FRAME.assign(y=KIND).to_csv(tmp_path / "s.csv", index=False)
    FRAME.assign(y=(KIND == "plus").astype(int)).to_csv(tmp_path / "n.csv", index=False)
    text = read(tmp_path / "s.csv", "samples", target="y").bottleneck
    asked = read(tmp_path / "n.csv", "samples", target="y", one_hot=True).bottleneck
    plain = read(tmp_path / "n.csv", "samples", target="y").bottleneck
    assert text.covariance_y.shape == asked.covariance_y.shape == (2, 2)
    assert plain.covariance_y.shape == (1, 1)
    np.testing.assert_allclose(text.cross_covariance, asked.cross_covariance, atol=1e-12)
    np.testing.assert_allclose(text.cross_covariance[:, 1], plain.cross_covariance[:, 0], atol=1e-12)


def test_the_same_section_in_a_file_whose_paths_are_relative_to_it(tmp_path, monkeypatch):
    x, y = pairs()
    (tmp_path / "sub").mkdir()
    pd.DataFrame({"x": x, "y": y}).to_csv(tmp_path / "sub" / "p.csv", index=False)
    toml = '[problem]\nname = "joint"\npath = "p.csv"\n[data]\nname = "csv"\ntarget = "y"\nheader = true\n'
    written(tmp_path / "sub" / "run.toml", toml)
    monkeypatch.chdir(tmp_path)
    law = problem(load_config(BottleneckConfig, "sub/run.toml", {}, cross_checks))
    np.testing.assert_allclose(joint(law), COUNTS / COUNTS.sum(), atol=1e-15)


@pytest.mark.parametrize(
    ("name", "text", "flags", "message"),
    [
        ("s.csv", "a,y\n0.5,u\n1,v\n" * 1 + "2,u\n", {"problem": "joint", "target": "y"}, "take --problem samples"),
        ("s.csv", "a,y\n1,0.5\n2,1.5\n3,2\n", {"problem": "joint", "target": "y"}, "take --problem samples"),
        ("s.csv", "a,y\n1,2\n2,3\n3,4\n", {"problem": "samples"}, "say which column is Y; give --target"),
        ("s.csv", "a,y\n1,2\nNA,3\n3,4\n", {"problem": "samples", "target": "y"}, "line 3, column 'a' holds 'NA'"),
        ("s.what", "a,y\n1,2\n", {"problem": "samples", "target": "y"}, "give --data, such as --data csv"),
        ("s.csv", "a,y\n1,2\n", {"problem": "samples", "x_field": "y"}, "x_field does not apply to the data 'csv'"),
        ("s.csv", "a,y\n1,2\n", {"problem": "samples", "data": "digits"}, "a file is read as one of npz"),
        ("s.csv", "a,y\n1,2\n", {"problem": "covariance", "target": "y"}, "it belongs to joint, samples"),
    ],
)
def test_what_cannot_be_read_is_refused(tmp_path, name, text, flags, message):
    written(tmp_path / name, text)
    with pytest.raises((ValueError, ConfigError), match=message):
        read(tmp_path / name, flags.pop("problem"), **flags)
