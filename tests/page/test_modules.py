"""The page's modules: the tests of those without a document, under Node.js, and the types of all."""

import json
import re
import shutil
import subprocess
from pathlib import Path

import pytest

from brainsift.stats.metrics import wilson

HERE = Path(__file__).parent
ROOT = HERE.parents[1]
COMPILER = ROOT / "node_modules/typescript/bin/tsc"


@pytest.fixture
def run_node():
    """Runs Node.js in the root of the repository; gives what it printed."""
    node = shutil.which("node")
    if node is None:
        pytest.skip("needs node: install Node.js, 18 or newer")

    def run(*arguments):
        result = subprocess.run(
            [node, *arguments], check=False, cwd=ROOT, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True
        )
        assert result.returncode == 0, result.stdout
        return result.stdout

    return run


def test_modules_without_a_document_pass_their_tests(run_node):
    tests = sorted(HERE.glob("*.test.mjs"))
    imports = "".join(
        f"await import({json.dumps(path.as_uri())});" for path in tests
    )  # `--test` starts one process each
    report = run_node("--test-reporter=tap", "--input-type=module", "--eval", imports)
    passed = re.search(r"^# pass (\d+)$", report, re.MULTILINE)
    assert int(passed[1]) >= len(tests) > 0


def test_intervals_are_those_of_the_package(run_node):
    script = (
        "import { wilson } from './src/brainsift/serve/page/agreement.js'; const all = [];"
        "for (let n = 1; n <= 60; n += 1) for (let k = 0; k <= n; k += 1) all.push(wilson(k, n));"
        "console.log(JSON.stringify(all))"
    )
    found = json.loads(run_node("--input-type=module", "--eval", script))
    wanted = [wilson(k / n, n) for n in range(1, 61) for k in range(n + 1)]
    assert [(one["value"], one["low"], one["high"]) for one in found] == [tuple(one) for one in wanted]


@pytest.mark.slow
def test_types_hold(run_node):
    if not COMPILER.is_file():
        pytest.skip("needs typescript: npm install")
    run_node(COMPILER, "-p", ".")


def test_all_modules_are_checked():
    modules = sorted((ROOT / "src/brainsift/serve/page").glob("*.js"))
    assert modules
    assert [path.name for path in modules if not path.read_text(encoding="utf-8").startswith("// @ts-check\n")] == []
