"""The examination of the installation: what it finds here, and that it finds what is wrong."""

from __future__ import annotations

import re
from contextlib import nullcontext
from types import SimpleNamespace

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import ntkinfo.kernels.neural_tangents_compat as nt
from ntkinfo import doctor


@pytest.fixture(scope="module")
def findings():
    return {finding.name: finding for finding in doctor.examine()}


def test_everything_works_here(findings):
    failed = [finding for finding in findings.values() if finding.state == "failed"]
    assert not failed
    assert {"python", "devices", "precision", "memory", doctor.OWN, *doctor.PACKAGES, *doctor.CHECKS} == findings.keys()


def test_versions_and_devices_are_the_ones_in_use(findings):
    assert findings["jax"].text.startswith(jax.__version__)
    assert findings["numpy"].text == np.__version__
    assert findings["neural-tangents"].text == nt.VERSION
    assert jax.default_backend() in findings["devices"].text
    assert "GiB free" in findings["memory"].text


def test_every_live_check_names_its_second_route_and_the_difference(findings):
    for name in doctor.CHECKS:
        assert findings[name].text.startswith("agrees with the ") or findings[name].text.startswith("agrees with a ")
        assert "relative difference" in findings[name].text


def test_examination_prints_nothing_and_changes_no_setting(capsys, monkeypatch):
    monkeypatch.setattr(doctor, "CHECKS", {"infinite-width kernels": doctor.CHECKS["infinite-width kernels"]})
    doctor.examine()
    captured = capsys.readouterr()
    assert captured.out == captured.err == ""
    assert jnp.ones(1, dtype=float).dtype == np.float32


def only(monkeypatch, *names):
    monkeypatch.setattr(doctor, "CHECKS", {name: doctor.CHECKS[name] for name in names})


def test_a_wrong_number_is_found_and_does_not_stop_the_others(monkeypatch):
    only(monkeypatch, "kernels in batches", "infinite-width kernels")

    def wrong(kernel_fn, **options):
        return lambda *inputs: SimpleNamespace(**{g: 1.001 * getattr(kernel_fn(*inputs), g) for g in ("nngp", "ntk")})

    monkeypatch.setattr(nt, "batch", wrong)
    found = {finding.name: finding for finding in doctor.examine()}
    assert found["kernels in batches"].state == "failed"
    assert "differs from the arcsine formula (relative difference 1.0e-03)" in found["kernels in batches"].text
    assert found["infinite-width kernels"].state == "ok"


def test_an_error_is_a_finding_with_its_text_and_does_not_stop_the_others(monkeypatch):
    only(monkeypatch, "linearisation", "infinite-width kernels")

    def broken(function, params):
        raise RuntimeError("this part\nis broken")

    monkeypatch.setattr(nt, "linearize", broken)
    found = {finding.name: finding for finding in doctor.examine()}
    assert found["linearisation"].state == "failed"
    assert found["linearisation"].text == "RuntimeError: this part is broken"
    assert found["infinite-width kernels"].state == "ok"


@pytest.mark.parametrize(
    ("computed", "text"),
    [
        (np.array([np.nan, 1.0]), "differs from"),
        (np.ones(3), r"shape \(3,\), but \(2,\)"),
        (np.array([1.0, 1.0 + 1e-9]), "relative difference 1.0e-09"),
    ],
)
def test_comparison_fails_where_the_routes_differ(computed, text):
    finding = doctor.Comparison(computed, np.ones(2), "ones").finding("test")
    assert finding.state == "failed"
    assert re.search(text, finding.text)


def test_missing_package_and_untried_jax(monkeypatch):
    monkeypatch.setattr(doctor, "PACKAGES", ("no-such-package-at-all",))
    only(monkeypatch)
    found = {finding.name: finding for finding in doctor.examine()}
    assert found["no-such-package-at-all"] == doctor.Finding("no-such-package-at-all", "failed", "not installed")
    monkeypatch.setattr(doctor, "PACKAGES", ("jax",))
    monkeypatch.setattr(jax, "__version_info__", (0, 99, 0))
    found = {finding.name: finding for finding in doctor.examine()}
    assert found["jax"].state == "warning"
    assert "newer than 0.12" in found["jax"].text


def test_little_memory_is_a_warning(monkeypatch):
    only(monkeypatch)
    monkeypatch.setattr(doctor, "available_memory", lambda: 0.25)
    found = {finding.name: finding for finding in doctor.examine()}
    assert found["memory"].state == "warning"
    assert found["memory"].text.startswith("0.2 GiB free")


def test_precision_that_is_not_had_is_found(monkeypatch):
    only(monkeypatch)
    monkeypatch.setattr(doctor, "float64", nullcontext)
    found = {finding.name: finding for finding in doctor.examine()}
    assert found["precision"] == doctor.Finding(
        "precision", "failed", "jax computes in float32 where float64 was asked for"
    )
