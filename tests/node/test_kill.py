"""kill -9 while a node receives, scores and sends: one set of results is left, and it is always the same.

`python bench/node.py kill` does the same at as many moments as you want.
"""

import pytest

from .conftest import write_series

pytestmark = [pytest.mark.slow, pytest.mark.usefixtures("network")]


@pytest.mark.parametrize("wait_s", [0.2, 1.2, 2.5])
def test_a_node_that_is_killed_leaves_one_set_of_results(bench, tmp_path, wait_s):
    found = bench.killed_once(tmp_path, write_series(tmp_path / "in", count=4), wait_s=wait_s)
    assert found["versions"] == 1
