"""In a process of their own: here the type checker answers before the package does."""

import subprocess
import sys
from pathlib import Path

import pytest

SCRIPT = Path(__file__).parent / "argument_mistakes.py"


def outcome(*words):
    done = subprocess.run([sys.executable, SCRIPT, *words], capture_output=True, text=True, check=False)
    return done.returncode, done.stdout + done.stderr


def test_every_argument_of_every_public_function_says_what_it_must_be():
    """Also: lists stand for arrays in every call, and 50 drawn mistakes end in a value or a clear error."""
    code, text = outcome("every", "drawn", "50", "1")

    assert code == 0, text


@pytest.mark.slow
def test_thousands_of_drawn_mistakes_end_in_a_value_or_a_clear_error():
    code, text = outcome("drawn", "6000", "2")

    assert code == 0, text
