"""`ntkinfo curves --certify`: table, file, exit codes."""

import json

import pytest

from ntkinfo.core.records import Estimate
from ntkinfo.information import curves as information
from ntkinfo.information import second_routes
from ntkinfo.information.certificate import Certificate
from ntkinfo.information.curves import load_curves
from tests.cli_helpers import FAST, SMALL, files


def test_honest_curves_are_certified(curves, tmp_path):
    code, out, err = curves(*SMALL, "--certify", "--certify-share", "0.5", "--out", "results")
    assert (code, err) == (0, "")
    assert files(tmp_path / "results") == ["certificate.json", "config.toml", "curves.nc", "curves.png"]
    record = json.loads((tmp_path / "results" / "certificate.json").read_text())
    assert record["passed"] is True
    assert record["share"] == 0.5
    assert out.count("certified:") == 1
    assert record["verdict"] in out
    for column in ("quantity", "checked", "discrepancy", "second route"):
        assert column in out
    stored = load_curves(tmp_path / "results" / "curves.nc").attrs["certificate"]
    assert json.loads(Certificate.from_json(stored).to_json()) == record


def test_a_configuration_file_asks_for_it_too_and_the_written_one_repeats_it(curves, tmp_path):
    (tmp_path / "run.toml").write_text("[curves]\ncertify = true\n")
    assert curves("run.toml", *FAST, "--out", "one")[0] == 0
    assert "certify = true" in (tmp_path / "one" / "config.toml").read_text()
    assert curves("one/config.toml", "--out", "two")[0] == 0
    texts = [(tmp_path / folder / "certificate.json").read_text() for folder in ("one", "two")]
    assert texts[0] == texts[1]
    assert curves("run.toml", *FAST, "--no-certify", "--out", "three")[0] == 0
    assert "certificate.json" not in files(tmp_path / "three")


@pytest.fixture
def wrong_loss(monkeypatch):
    monkeypatch.setitem(
        second_routes.ROUTES, "loss_mean", lambda place: Estimate(123.0, 1e-12, "exact", "a wrong formula")
    )


def test_disagreement_has_its_own_exit_code_and_keeps_the_curves(curves, tmp_path, wrong_loss):
    code, out, err = curves(*FAST, "--certify", "--out", "results")
    assert code == 3
    assert "NOT certified: loss_mean disagree" in err
    assert "NOT certified" in out
    assert {"curves.nc", "certificate.json"} <= set(files(tmp_path / "results"))
    assert json.loads((tmp_path / "results" / "certificate.json").read_text())["passed"] is False


def test_quiet_disagreement_still_speaks(curves, wrong_loss):
    code, out, err = curves(*FAST, "--certify", "--quiet")
    assert (code, out) == (3, "")
    assert "NOT certified" in err


def test_each_depth_is_certified(curves, tmp_path):
    code, out, _ = curves(*FAST, "--certify", "--depth", "1", "2", "--out", "results")
    assert code == 0
    record = json.loads((tmp_path / "results" / "certificate.json").read_text())
    assert list(record) == ["depth 1", "depth 2"]
    assert all(one["passed"] for one in record.values())
    assert out.count("certified:") == 2
    assert record["depth 1"] != record["depth 2"]


def test_interrupting_the_certificate_keeps_the_curves(curves, tmp_path, monkeypatch):
    def interrupted(*arguments, **options):
        raise KeyboardInterrupt

    monkeypatch.setattr(information, "certified", interrupted)
    code, _, err = curves(*FAST, "--certify", "--out", "results")
    assert code == 130
    assert "missing: the certificate" in err
    written = [name for name in files(tmp_path / "results") if not name.startswith("checkpoint")]
    assert written == ["config.toml", "curves.nc", "curves.png"]


def test_wrong_flags_are_named(curves):
    code, _, err = curves("--certfy", "--certify-share", "2")
    assert code == 2
    assert "did you mean '--certify'" in err
    assert "--certify-share: certify_share is 2.0; it must be 1 or less" in err


def test_an_old_certificate_is_not_replaced(curves, tmp_path):
    (tmp_path / "results").mkdir()
    (tmp_path / "results" / "certificate.json").write_text("{}")
    code, _, err = curves(*FAST, "--out", "results")
    assert code == 2
    assert "--overwrite" in err
