"""The printed table of a certificate."""

import io

from rich.console import Console

from ntkinfo.information.certificate import Certificate, Finding
from ntkinfo.report.certificate import print_certificate


def finding(name, largest, **changes):
    values = {
        "quantity": name,
        "checked": 8,
        "not_checked": 0,
        "reasons": (),
        "largest": largest,
        "where": "t = 1, test",
        "value": 2.0,
        "second": 2.1,
        "error": 0.01,
        "limit": 5.0,
        "route": ("direct formula, matrix doubling", "direct formula, Cholesky solve", "between bounds"),
        "sampled": False,
    }
    return Finding(**values | changes)


def printed(certificate):
    stream = io.StringIO()
    print_certificate(Console(file=stream, width=130), {"depth 2": certificate})
    return stream.getvalue()


def test_rows_mark_what_disagrees_and_say_each_route_once():
    beyond = {"checked": 0, "not_checked": 3, "reasons": ("too late",), "route": ()}
    text = printed(
        Certificate(
            0.1, 0, (finding("loss_mean", 0.25), finding("variance", 12.0), finding("other", float("nan"), **beyond))
        )
    )
    lines = {line.split()[0]: line for line in text.splitlines() if line.strip()}
    assert lines["loss_mean"].split()[1:4] == ["8", "0", "0.25"]
    assert lines["loss_mean"].rstrip().endswith("direct formula, matrix doubling or Cholesky solve")
    assert lines["variance"].split()[3:5] == ["12", "!"]
    assert lines["other"].split()[1:4] == ["0", "3", "-"]
    assert "not checked: other: too late" in text
    assert "NOT certified: variance disagree with the second route, by up to 12 stated errors; 3 beyond" in text
    assert text.strip().startswith("depth 2")


def test_a_larger_limit_for_many_draws_is_respected():
    assert Certificate(0.1, 0, (finding("information_input", 5.2, limit=5.4, sampled=True),)).passed
    assert not Certificate(0.1, 0, (finding("information_input", 5.5, limit=5.4, sampled=True),)).passed
