"""Comparisons with the Python ecosystem.

    pip install -r Tests/Interop/requirements.txt
    STATEX_BIN=$PWD/.build/release pytest Tests/Interop

Without STATEX_BIN the tests that run our commands are skipped.
"""

import os
import subprocess
import sys
from pathlib import Path

import pytest

TESTS = Path(__file__).resolve().parents[1]
REPOSITORY = TESTS.parent
GLA_FIXTURES = TESTS / "Fixtures" / "gla"
GLA_CASES = sorted(path.parent.name for path in GLA_FIXTURES.glob("*/reference.json"))

sys.path[:0] = [str(TESTS / "Interop"), str(GLA_FIXTURES)]


def pytest_generate_tests(metafunc):
    """A test with the argument `gla_case` runs for each fixture directory."""
    if "gla_case" in metafunc.fixturenames:
        metafunc.parametrize("gla_case", GLA_CASES, indirect=True)


@pytest.fixture
def gla_case(request):
    """One fixture directory: config.json, model.safetensors, reference.json, reference.safetensors."""
    return GLA_FIXTURES / request.param


@pytest.fixture(scope="session")
def command():
    """Runs one of our commands and returns the finished process; an exit code other than 0 fails the test."""
    binaries = os.environ.get("STATEX_BIN")
    if not binaries:
        pytest.skip("STATEX_BIN is not set")

    def run(name, *arguments):
        words = [str(Path(binaries).resolve() / name), *map(str, arguments)]
        done = subprocess.run(words, capture_output=True, text=True, timeout=600, cwd=REPOSITORY)
        assert done.returncode == 0, f"{' '.join(words)}\nexit {done.returncode}\n{done.stdout}{done.stderr}"
        return done

    return run
