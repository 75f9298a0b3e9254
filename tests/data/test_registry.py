import inspect
import subprocess
import sys
import textwrap

import numpy as np
import pytest

from ntkinfo import data
from ntkinfo.data.registry import ENTRIES, MEANINGS, describe, load

BUNDLED = ["digits", "breast_cancer", "diabetes", "wine", "gaussian", "twelve_bit"]
NAMES = [*BUNDLED, "idx", "npz", "npy", "csv", "parquet", "mat", "arff", "libsvm", "cifar"]


def test_names_and_options():
    described = describe()
    assert list(described) == NAMES
    assert described["digits"]["n_train"].default == 512
    assert described["breast_cancer"]["targets"].default == "pair"
    assert described["idx"]["standardise_by"].default == "all"
    assert described["csv"]["target"].required
    assert not described["csv"]["n_train"].required
    assert "targets" not in described["gaussian"]
    assert all(option.meaning for options in described.values() for option in options.values())
    assert all(entry.meaning for entry in ENTRIES.values())


def test_every_meaning_belongs_to_an_option():
    assert set(MEANINGS) == {name for options in describe().values() for name in options}


@pytest.mark.parametrize("name", ["digits", "breast_cancer", "diabetes", "wine", "gaussian", "twelve_bit"])
def test_loading_by_name_equals_calling(name):
    function = data.gaussian_pair if name == "gaussian" else getattr(data, name)
    assert load(name, n_train=40, n_test=20, seed=3).fingerprint == function(40, 20, seed=3).fingerprint


@pytest.mark.parametrize("name", ["digits", "breast_cancer", "diabetes", "wine", "gaussian", "twelve_bit"])
def test_every_stated_default_is_the_default(name):
    defaults = {option.name: option.default for option in describe()[name].values()}
    assert load(name, **defaults).fingerprint == load(name).fingerprint


def test_files_by_name(tmp_path):
    np.savez(tmp_path / "toy.npz", x=np.eye(10), y=np.arange(10) % 2)
    assert load("npz", path=tmp_path / "toy.npz", n_train=6, n_test=4).name == "toy"


@pytest.mark.parametrize(
    ("name", "options", "message"),
    [
        ("digit", {}, "did you mean 'digits'"),
        ("mnist", {}, "known: arff, breast_cancer"),
        ("digits", {"n_trian": 3}, "did you mean 'n_train'"),
        ("gaussian", {"targets": "pair"}, "option of the data 'gaussian' is 'targets'"),
        ("npz", {}, "needs the option.* path"),
        ("idx", {"image_file": "a"}, "needs the option.* label_file"),
    ],
)
def test_unknown_names_and_options(name, options, message):
    with pytest.raises(ValueError, match=message):
        load(name, **options)


def test_every_public_name_is_documented():
    for name in data.__all__:
        assert inspect.getdoc(getattr(data, name)), name


def test_wrong_types_are_named_without_a_type_checker():
    # In this process beartype answers first, so a fresh one shows what a user sees. It also shows that importing
    # the column loads no reader's library.
    script = """
        import sys
        import ntkinfo.data as d
        assert not {"sklearn", "pyarrow", "scipy.io", "scipy.optimize"} & set(sys.modules)
        for options, message in (
            ({"n_train": 2.5}, "n_train is 2.5; it must be a whole number"),
            ({"n_test": "9"}, "n_test is '9'; it must be a whole number"),
            ({"seed": 0.5}, "seed is 0.5; it must be a whole number"),
            ({"label_noise": "0.1"}, "label_noise is '0.1'; it must be a number"),
            ({"standardise": "yes"}, "standardise is 'yes'; it must be True or False"),
            ({"classes": 3}, "classes is 3; it must be a list of class names"),
        ):
            try:
                d.digits(**options)
            except TypeError as error:
                assert message in str(error), error
            else:
                raise AssertionError(options)
    """
    done = subprocess.run([sys.executable, "-c", textwrap.dedent(script)], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
