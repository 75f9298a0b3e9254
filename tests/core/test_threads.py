"""Work shared among threads: order, nested use, and what goes wrong inside."""

import threading

import pytest

from ntkinfo.core.threads import map_threads


@pytest.mark.parametrize("threads", [1, 2, None])
def test_results_in_order_and_errors_handed_on(threads):
    assert map_threads(lambda k: 2 * k, range(20), threads) == list(range(0, 40, 2))
    assert map_threads(lambda k: k, [], threads) == []

    def fails(k: int) -> float:
        return 1 / (k - 3)

    with pytest.raises(ZeroDivisionError):
        map_threads(fails, range(20), threads)
    assert map_threads(lambda k: k, range(3), threads) == [0, 1, 2]


def test_nested_use_does_not_wait_for_itself():
    found: list[list[int]] = []

    def inner(k: int) -> int:
        return sum(map_threads(lambda j: j * k, range(4), 2))

    worker = threading.Thread(target=lambda: found.append(map_threads(inner, range(5), 2)), daemon=True)
    worker.start()
    worker.join(20)
    assert found == [[0, 6, 12, 18, 24]]
