"""Help that fits a screen, and completion for every shell."""

from __future__ import annotations

import re
import shutil
import subprocess

import pytest

from ntkinfo.cli import COMMANDS, run
from ntkinfo.cli_flags import shown_type
from ntkinfo.config_reading import flags

NAMES = ("bottleneck", "compare", "completion", "curves", "data", "doctor", "measures", "rank", "report", "search")


def test_help_fits_a_screen(capsys, monkeypatch):
    monkeypatch.setenv("COLUMNS", "80")
    assert run(["--help"]) == 0
    lines = capsys.readouterr().out.rstrip("\n").split("\n")
    assert len(lines) < 24
    assert max(map(len, lines)) <= 80
    rows = [line.split()[1] for line in lines if line.startswith("│ ") and not line.startswith("│  ")]
    assert tuple(rows[: len(NAMES)]) == NAMES


@pytest.mark.parametrize("shell", ["bash", "zsh", "fish"])
def test_completion_knows_every_command_and_flag(shell, capsys, tmp_path):
    assert run(["completion", shell]) == 0
    script = capsys.readouterr().out
    assert all(name in script for name in NAMES)
    assert all(flag in script for flag in ("--ridge", "ridge"))
    assert len(COMMANDS) >= 4
    if shutil.which(shell):
        (tmp_path / "script").write_text(script)
        assert subprocess.run([shell, "-n", str(tmp_path / "script")], capture_output=True).stderr == b""


@pytest.mark.skipif(shutil.which("bash") is None, reason="bash is not installed")
def test_bash_completes_a_command_and_a_flag(capsys, tmp_path):
    assert run(["completion", "bash"]) == 0
    script = tmp_path / "script"
    script.write_text(capsys.readouterr().out)
    line = f'source {script}; COMP_WORDS=({{}}); COMP_CWORD={{}}; _ntkinfo; echo "${{{{COMPREPLY[@]}}}}"'
    for words, found in (("ntkinfo cur", "curves"), ("ntkinfo curves --ridg", "--ridge")):
        given = line.format(words, len(words.split()) - 1)
        assert subprocess.run(["bash", "-c", given], capture_output=True, text=True).stdout.split() == [found]


def test_an_unknown_shell_is_refused(capsys):
    assert run(["completion", "tcsh"]) == 2
    assert "tcsh" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["curvs"], "error: 'curvs' is no command (did you mean 'curves'?); known: bottleneck, compare, completion, "),
        (["measures", "--jsn"], "error: --jsn: unknown flag (did you mean '--json'?)"),
        (["curves", "a.toml", "b.toml"], "error: 'b.toml' belongs to no flag; leave it out, or name the flag"),
        (["report"], "error: FOLDER needs a value; see --help"),
        (["completion", "tcsh"], "error: SHELL is 'tcsh'; it must be bash, zsh or fish"),
    ],
)
def test_mistakes_in_words_are_answered_in_one_line(words, said, capsys):
    assert run(words) == 2
    err = capsys.readouterr().err
    assert err.startswith(said)
    assert err.count("\n") == 1


COMMANDS_WITH_FLAGS = [command.name for command in COMMANDS] + ["rank", "report", "measures"]


@pytest.mark.parametrize("command", COMMANDS_WITH_FLAGS)
def test_every_flag_says_its_type_and_default(command, capsys, monkeypatch):
    monkeypatch.setenv("COLUMNS", "300")
    assert run([command, "--help"]) == 0
    rows = [line.strip("│ ") for line in capsys.readouterr().out.splitlines() if line.startswith("│ --")]
    assert rows
    for row in rows:
        assert "default:" in row, row
        # A switch has no value; a flag's type stands behind its name, and is not simply text where it is a number.
        name = row.split()[0]
        words = row.split("  ")[0].split()
        kinds = [flag for flag in flags(_model(command)).values() if flag.name == name] if _model(command) else []
        if shown_type("INT") and kinds and "bool" not in str(kinds[0].annotation):
            expected = next((k for k in ("int", "float") if re.search(rf"\b{k}\b", str(kinds[0].annotation))), "text")
            assert words[1].rstrip(".") == expected.upper(), row


def _model(command):
    return next((one.model for one in COMMANDS if one.name == command), None)
