from __future__ import annotations

import tomllib

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ntkinfo.assembly import cross_checks
from ntkinfo.bottleneck_config import BottleneckConfig
from ntkinfo.compare_config import CompareConfig
from ntkinfo.config import Config
from ntkinfo.config_places import key_lines, line_of
from ntkinfo.config_reading import ConfigError, dump_config, flags, load_config
from ntkinfo.data import registry
from ntkinfo.search_config import SearchConfig


def problems(tmp_path, text, given=None):
    """What is wrong with a text, as (line or flag, message)."""
    path = tmp_path / "run.toml"
    path.write_text(text)
    with pytest.raises(ConfigError) as caught:
        load_config(Config, path, given, cross_checks)
    return [(p.place.removeprefix(f"{path}:"), p.text) for p in caught.value.problems]


def test_defaults_are_right_and_every_data_option_is_a_key_and_a_flag():
    assert load_config(Config, None, {}, cross_checks) == Config()
    keys = set(Config().data.__class__.model_fields)
    options = {option for options in registry.describe().values() for option in options}
    assert options <= keys
    assert keys - options == {"name"}


def test_no_two_keys_share_a_flag():
    count = sum(len(section.annotation.model_fields) for section in Config.model_fields.values())
    assert len(flags(Config)) == count


def test_every_error_is_reported_at_once_with_its_line(tmp_path):
    text = """
[data]
name = "digits"
n_train = 0          # too few
label_nose = 0.1

[network]
activation = "efr"
w_std = -1.5
depth = [2, "three"]

[trainig]
procedure = "gradient_descent"

[times]
count = 2.5

[output]
formats = ["png", "pgn"]
"""
    found = problems(tmp_path, text, {"--momentum": "0.5", "--b-std": "much", "--samples": "7"})
    assert [place for place, _ in found] == [
        "4",
        "5",
        "8",
        "9",
        "10",
        "12",
        "16",
        "19",
        "--b-std",
        "--momentum",
        "--samples",
    ]
    texts = dict(found)
    assert texts["4"] == "n_train is 0; it must be 1 or greater"
    assert "did you mean 'label_noise'?" in texts["5"]
    assert "did you mean 'erf'?" in texts["8"]
    assert texts["9"] == "w_std is -1.5; it must be greater than 0"
    assert "'three'" in texts["10"]
    assert "whole number" in texts["10"]
    assert "did you mean 'training'?" in texts["12"]
    assert texts["16"] == "count is 2.5; it must be a whole number"
    assert "did you mean 'png'?" in texts["19"]
    assert texts["--b-std"] == "b_std is 'much'; it must be a number"
    assert "belongs to heavy_ball" in texts["--momentum"]
    assert "even" in texts["--samples"]


@pytest.mark.parametrize(
    ("text", "place", "message"),
    [
        ("[data]\nname = 'dgits'", "2", "did you mean 'digits'?"),
        (
            "[data]\npath = 'x.csv'",
            "2",
            "path does not apply to the data 'digits'; it belongs to npz, csv, parquet, mat",
        ),
        ("[data]\nname = 'csv'\ntarget = 'y'", "2", "needs path"),
        ("[data]\nname = 'csv'\ntarget = 'y'\npath = 'missing.csv'", "4", "missing.csv does not exist"),
        ("[data]\nlabel_noise = nan", "2", "finite number"),
        ("[network]\nstrides = 2", "2", "strides does not apply to fully_connected; it belongs to convolutional"),
        ("[network]\nname = 'wide_residual'\ndepth = 3", "3", "depth does not apply to wide_residual"),
        ("[network]\nname = 'convolutional'\nfilter_size = 0", "3", "filter_size is 0; it must be 1 or greater"),
        ("[network]\nb_std = -0.1", "2", "0 or greater"),
        ("[network]\ndepth = [1, 1]", "2", "each depth can be given once"),
        ("[network]\ndepth = []", "2", "at least 1"),
        ("[network]\nw_std = true", "2", "w_std is True; it must be a number"),
        ("[network]\nw_std = '1.5'", "2", "w_std is '1.5'; it must be a number"),
        ("[training]\nprocedure = 'gradient_flwo'", "2", "did you mean 'gradient_flow'?"),
        ("[training]\nprocedure = 'gradient_descent'", "1", "gradient_descent needs step_size; give --step-size"),
        ("[training]\nprocedure = 'gradient_descent'\nstep_size = 0", "3", "greater than 0"),
        ("[training]\nmomentum = 1.0", "2", "less than 1"),
        ("[training]\nprior = 'nntk'", "2", "did you mean 'ntk'?"),
        ("[training]\nprocedure = 'nngp_posterior'\nnoise_variance = 0.1\nridge = 1.0", "4", "ridge does not apply"),
        ("[training]\ntemperature = 0.1", "2", "leave infinity out"),
        ("[times]\nstart = 10.0\nstop = 1.0", "3", "stop must be the later time"),
        ("[times]\nstart = inf", "2", "finite number"),
        ("[curves]\nquantities = ['loss_men']", "2", "did you mean 'loss_mean'?"),
        ("data = 3", "1", "must be a section"),
        ('[data]\nname = "digits"\nn_train = = 3', "3", "not valid TOML"),
        ("[data]\nseed = 1\nseed = 2", "3", "not valid TOML"),
    ],
)
def test_each_error_has_its_line_and_its_remedy(tmp_path, text, place, message):
    found = problems(tmp_path, text)
    assert len(found) == 1, found
    assert found[0][0] == place
    assert message in found[0][1]


def test_missing_and_unreadable_files(tmp_path):
    with pytest.raises(ConfigError, match="no such configuration file"):
        load_config(Config, tmp_path / "none.toml")
    with pytest.raises(ConfigError, match="cannot be read"):
        load_config(Config, tmp_path)
    (tmp_path / "latin.toml").write_bytes(b"[data]\nname = '\xe9'\n")
    with pytest.raises(ConfigError, match="UTF-8"):
        load_config(Config, tmp_path / "latin.toml")


def test_flags_override_the_file_and_are_read_as_their_type(tmp_path):
    path = tmp_path / "run.toml"
    path.write_text("[network]\ndepth = 2\nw_std = 1.0\n[data]\nclasses = ['1', '2']\n")
    given = {"--w-std": "2e0", "--depth": ["1,2", "5"], "--no-infinity": None, "--n-train": "64", "--classes": ["3,8"]}
    given.pop("--no-infinity")
    config = load_config(Config, path, {**given, "--infinity": False, "--data": "digits"}, cross_checks)
    assert config.network.depth == [1, 2, 5]
    assert config.network.w_std == 2.0
    assert config.data.n_train == 64
    assert config.data.classes == ["3", "8"]
    assert config.times.infinity is False


def test_hyphens_and_underscores_are_the_same_in_names(tmp_path):
    config = load_config(Config, None, {"--procedure": "gradient-flow", "--network": "fully-connected"}, cross_checks)
    assert config.training.procedure == "gradient-flow"


def test_written_configuration_reads_back_equal(tmp_path):
    given = {
        "--depth": ["1", "3"],
        "--out": str(tmp_path / 'a "quoted"\\folder\t\x7f é'),
        "--ridge": "1e-12",
        "--time-stop": "1e300",
        "--bits": True,
        "--quantities": ["loss_mean"],
    }
    config = load_config(Config, None, given, cross_checks)
    (tmp_path / "again.toml").write_text(dump_config(config), encoding="utf-8")
    assert load_config(Config, tmp_path / "again.toml", {}, cross_checks) == config


@settings(max_examples=200, deadline=None)
@given(
    folder=st.text(st.characters(codec="utf-8")), noise=st.floats(0, allow_infinity=False), seed=st.integers(0, 2**62)
)
def test_any_text_and_number_survives_being_written(folder, noise, seed):
    config = Config.model_validate({"output": {"folder": folder}, "data": {"label_noise": noise, "seed": seed}})
    assert Config.model_validate(tomllib.loads(dump_config(config))) == config


def test_lines_are_found_through_strings_comments_and_nesting():
    text = '''# [data] in a comment
title = """
[network]
depth = 3
"""
[ data ]            # the real one
classes = [
  "a = 1",  # ]
  '[x]',
]
"n_train" = 5
note = \'\'\'one
seed = 3\'\'\'
seed = 4

[network]
inner.depth = 2
table = { a = 1, b = "}" }
w_std = 1
[[list.of.tables]]
x = 1
'''
    tomllib.loads(text)
    lines = key_lines(text)
    assert lines[("data",)] == 6
    assert lines[("data", "classes")] == 7
    assert lines[("data", "n_train")] == 11
    assert lines[("data", "note")] == 12
    assert lines[("data", "seed")] == 14
    assert lines[("network",)] == 16
    assert lines[("network", "inner", "depth")] == 17
    assert lines[("network", "w_std")] == 19
    assert lines[("list", "of", "tables", "x")] == 21
    assert line_of(lines, ("network", "table", "b")) == 18
    assert line_of(lines, ("absent",)) is None
    assert ("network", "depth") not in lines


@pytest.mark.parametrize(
    ("text", "place", "message"),
    [
        ("[data]\nclasses = " + "[" * 5000 + "]" * 5000, "2", "nested more than 32 deep"),
        ("[data]\nclasses = [\n" + "[\n" * 100 + "]\n" * 100 + "]", "34", "nested more than 32 deep"),
        ("a" + ".a" * 20000 + " = 1\n", "1", "nested more than 32 deep"),
        ("[" + "a . " * 5000 + "a]\n", "1", "nested more than 32 deep"),
        ('"a"' + '."a"' * 5000 + " = 1\n", "1", "nested more than 32 deep"),
        ("[times]\ncount = 9223372036854775808\n", "2", "count holds a whole number beyond"),
        ("[times]\nstart = 1" + "0" * 400 + "\n", "2", "start holds a whole number beyond"),
        ("[times]\ncount = 1000000000\n", "2", "count is 1000000000; it must be 100000 or less"),
        ("[network]\ndepth = [1, 100000]\n", "2", "each entry must be 500 or less"),
        ("[data]\nn_train = 1000000000000\n", "2", "it must be 1e+06 or less"),
        ("[data]\nname = 3\nclasses = " + str(["x"] * 1000), "2", "must be text"),
    ],
)
def test_huge_values_are_refused_by_name_and_at_once(tmp_path, text, place, message):
    found = dict(problems(tmp_path, text))
    assert message in found[place]
    assert max(len(text) for text in found.values()) < 400


def test_a_large_flag_and_a_file_that_is_no_configuration(tmp_path):
    (flag,) = problems(tmp_path, "", {"--time-count": "1" + "0" * 400})
    assert flag[0] == "--time-count"
    assert "beyond 9,223,372,036,854,775,807" in flag[1]
    (whole,) = problems(tmp_path, "# " + "x" * 1_000_000)
    assert "has more than 1,000,000 characters" in whole[1]


def test_dots_and_brackets_in_strings_and_comments_are_no_nesting(tmp_path):
    path = tmp_path / "run.toml"
    path.write_text('[data]\nname = "digits" # ' + "[" * 50 + "." * 50 + '\n[output]\nfolder = "' + "[a." * 40 + '"\n')
    assert load_config(Config, path).output.folder == str(tmp_path / ("[a." * 40))


MODELS = [Config, CompareConfig, BottleneckConfig, SearchConfig]
PATHS = ("folder", "path", "test_path", "store", "checkpoint", "image_file", "label_file", "test_image_file")
each_model = pytest.mark.parametrize("model", MODELS, ids=[model.__name__ for model in MODELS])


@each_model
def test_paths_in_a_file_are_relative_to_it_and_those_of_flags_to_the_working_directory(tmp_path, monkeypatch, model):
    monkeypatch.setenv("HOME", str(tmp_path / "home"))
    (tmp_path / "sub").mkdir()
    monkeypatch.chdir(tmp_path)
    known = [flag for flag in flags(model).values() if flag.key in PATHS]
    assert {flag.key for flag in known} & {"folder", "path"} == {"folder", "path"}
    for flag in known:
        for text, in_file, in_flag in (
            ("a/b", "sub/a/b", "a/b"),
            ("../c", "sub/../c", "../c"),
            ("/d", "/d", "/d"),
            ("~/e", str(tmp_path / "home" / "e"), str(tmp_path / "home" / "e")),
        ):
            (tmp_path / "sub" / "run.toml").write_text(f'[{flag.section}]\n{flag.key} = "{text}"\n')
            config = load_config(model, "sub/run.toml")
            assert getattr(getattr(config, flag.section), flag.key) == in_file
            config = load_config(model, "sub/run.toml", {flag.name: text})
            assert getattr(getattr(config, flag.section), flag.key) == in_flag
            assert getattr(getattr(load_config(model, None, {flag.name: text}), flag.section), flag.key) == in_flag


@each_model
def test_a_file_read_in_its_own_folder_keeps_its_paths_and_no_default_moves(tmp_path, monkeypatch, model):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "run.toml").write_text('[output]\nfolder = "here"\n')
    assert load_config(model, "run.toml").output.folder == "here"
    (tmp_path / "run.toml").write_text("")
    assert load_config(model, tmp_path / "run.toml").output.folder == model().output.folder


def test_a_file_of_data_in_another_place_is_told_how_to_be_given(tmp_path):
    rows = "a,b,kind\n1,2,u\n3,4,v\n"
    (tmp_path / "my.csv").write_text(rows)
    my = tmp_path / "my.csv"
    (by_name,) = problems(tmp_path, "", {"--data": str(my)})
    assert f"; for the file give --data csv --path {my}" in by_name[1]
    (by_path,) = problems(tmp_path, "", {"--path": str(my)})
    assert by_path[1].endswith(f"; for the file give --data csv --path {my}")
    (target,) = problems(tmp_path, "", {"--data": "csv", "--path": str(my)})
    assert target[1].endswith(f"give --target, or target under [data]; {my} has the columns 'a', 'b', 'kind'")
    (tmp_path / "my.csv").write_text(rows.split("\n", 1)[1])
    (target,) = problems(tmp_path, "", {"--data": "csv", "--path": str(my)})
    assert target[1].endswith("has the columns '1', '2', '3'")
    found = problems(tmp_path, "", {"--data": "csv", "--path": "absent.csv"})
    assert [text.split(";")[0] for _, text in found][-1].endswith("absent.csv does not exist")
    for content in (b"a,b,kind\n", bytes(range(128, 256))):
        my.write_bytes(content)
        with pytest.raises(ConfigError, match=r"my\.csv.*; a file of data is given with its format: --data csv --path"):
            load_config(Config, my)
