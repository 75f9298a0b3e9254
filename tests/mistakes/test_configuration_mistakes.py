import pytest

from tests.mistakes.configuration_mistakes import check


def test_configurations_of_any_value_are_taken_or_refused_by_name(capsys):
    wrong = check(60, 1)

    assert wrong == 0, capsys.readouterr().out


@pytest.mark.slow
def test_thousands_of_configurations_are_taken_or_refused_by_name(capsys):
    wrong = check(3000, 5)

    assert wrong == 0, capsys.readouterr().out
