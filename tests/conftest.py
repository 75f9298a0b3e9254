import pytest


@pytest.fixture
def curves(tmp_path, capsys, monkeypatch):
    """Run `ntkinfo curves` in an empty folder; returns exit code, output and messages."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("COLUMNS", "100")

    from ntkinfo.cli import run

    def call(*words):
        code = run(["curves", *map(str, words)])
        captured = capsys.readouterr()
        return code, captured.out, captured.err

    return call
