import os
from pathlib import Path

import jax
import pytest

# Most of the run is compiling: what one process has compiled, the others and the next run read from here. Subprocesses
# learn of it by the environment.
_COMPILED = {
    "JAX_COMPILATION_CACHE_DIR": str(Path(__file__).parents[1] / ".pytest_cache" / "jax"),
    "JAX_PERSISTENT_CACHE_MIN_COMPILE_TIME_SECS": "0.1",
    "JAX_PERSISTENT_CACHE_MIN_ENTRY_SIZE_BYTES": "-1",
}
for _name, _value in _COMPILED.items():
    os.environ.setdefault(_name, _value)
jax.config.update("jax_compilation_cache_dir", os.environ["JAX_COMPILATION_CACHE_DIR"])
jax.config.update(
    "jax_persistent_cache_min_compile_time_secs", float(os.environ["JAX_PERSISTENT_CACHE_MIN_COMPILE_TIME_SECS"])
)
jax.config.update(
    "jax_persistent_cache_min_entry_size_bytes", int(os.environ["JAX_PERSISTENT_CACHE_MIN_ENTRY_SIZE_BYTES"])
)


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
