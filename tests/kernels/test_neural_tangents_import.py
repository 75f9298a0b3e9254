"""Importing neural-tangents through the compat module leaves jax, tensorflow and the settings alone."""

from __future__ import annotations

import subprocess
import sys
import textwrap

import pytest

SNAPSHOT = """
    import sys, jax, jax.core, jax.extend.core, jax.extend.linear_util, jax.interpreters.ad, jax.scipy.special
    import jax.example_libraries.stax, jax.experimental.ode, jax.extend.source_info_util

    def public_jax():
        names = [n for n in sys.modules if n.split(".")[0] == "jax" and not n.startswith("jax._src")]
        return {n: (sys.modules[n], dict(vars(sys.modules[n]))) for n in names}

    def compare(before):
        after = public_jax()
        for name, (module, namespace) in before.items():
            assert after[name][0] is module, name
            now = after[name][1]
            added = {k for k in now if k not in namespace and f"{name}.{k}" not in sys.modules}
            assert not added and not namespace.keys() - now.keys(), (name, added, namespace.keys() - now.keys())
            changed = [k for k in namespace if now[k] is not namespace[k]]
            assert not changed, (name, changed)
        for name in after.keys() - before.keys():
            assert getattr(after[name][0], "__spec__", None) is not None, f"{name} is a stand-in"

    before = public_jax()
"""


def run(code: str) -> str:
    """Run code in a fresh interpreter after the snapshot was taken; its standard output."""
    source = textwrap.dedent(SNAPSHOT) + textwrap.dedent(code)
    done = subprocess.run([sys.executable, "-W", "error", "-c", source], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    return done.stdout


def test_import_leaves_jax_and_settings_as_they_were():
    run("""
        import ntkinfo.kernels.neural_tangents_compat as compat
        compare(before)
        assert ("jax.util" in sys.modules) == ("jax.util" in before)
        assert not [n for n in sys.modules if n.split(".")[0] in ("tensorflow", "tf2jax")]
        assert jax.config.jax_enable_x64 is False
        assert jax.numpy.ones(1, dtype=float).dtype == "float32"
        for name in compat.__all__:
            assert getattr(compat, name) is not None
    """)


def test_failed_import_leaves_jax_as_it_was_and_a_second_try_works():
    run("""
        class Broken:
            def find_spec(self, name, path=None, target=None):
                if name == "neural_tangents._src.predict":
                    raise ImportError("made to fail")

        blocker = Broken()
        sys.meta_path.insert(0, blocker)
        try:
            import ntkinfo.kernels.neural_tangents_compat
        except ImportError as error:
            text = str(error)
        assert "does not load on jax " + jax.__version__ in text and "made to fail" in text, text
        compare(before)
        assert ("jax.util" in sys.modules) == ("jax.util" in before)
        assert not [n for n in sys.modules if n.split(".")[0] == "neural_tangents"]
        sys.meta_path.remove(blocker)
        from ntkinfo.kernels.neural_tangents_compat import stax
        compare(before)
        stax.serial(stax.Dense(1), stax.Erf())
    """)


def test_library_that_was_imported_before_is_taken_as_it_is():
    run("""
        import ntkinfo.kernels.neural_tangents_compat as first
        import neural_tangents
        del sys.modules["ntkinfo.kernels.neural_tangents_compat"]
        import ntkinfo.kernels.neural_tangents_compat as second
        assert second is not first and second.stax is neural_tangents.stax is first.stax
        compare(before)
        import jax.numpy as jnp
        _, _, kernel = second.stax.serial(second.stax.Dense(1), second.stax.Erf(), second.stax.Dense(1))
        x = jnp.eye(3) + 1.0
        ensemble = second.predict.gradient_descent_mse_ensemble(kernel, x, jnp.ones((3, 1)))
        assert bool(jnp.isfinite(ensemble(t=1.0, get="ntk")).all())
    """)


@pytest.mark.parametrize(
    ("preparation", "message"),
    [
        (
            "import types; m = types.ModuleType('neural_tangents'); m.__version__ = '0.6.1'; "
            "sys.modules['neural_tangents'] = m",
            "needs neural-tangents 0.6.5, found 0.6.1",
        ),
        ("jax.__version_info__ = (0, 4, 30); jax.__version__ = '0.4.30'", "needs jax 0.6.1 or newer, this is 0.4.30"),
        (
            "import importlib.machinery as m\n"
            "find = m.PathFinder.find_spec\n"
            "m.PathFinder.find_spec = lambda n, *a, **k: None if n == 'neural_tangents' else find(n, *a, **k)",
            "neural-tangents is not installed",
        ),
    ],
)
def test_what_cannot_work_is_refused_with_the_reason(preparation, message):
    code = "try:\n    import ntkinfo.kernels.neural_tangents_compat\nexcept ImportError as error:\n    print(error)\n"
    assert message in run(preparation + "\n" + code)


def test_left_out_part_says_why():
    output = run("""
        import ntkinfo.kernels.neural_tangents_compat
        import neural_tangents
        try:
            neural_tangents.experimental.empirical_ntk_fn_tf
        except AttributeError as error:
            print(error)
    """)
    assert "needs tensorflow" in output
