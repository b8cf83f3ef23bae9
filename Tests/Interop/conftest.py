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
import torch

TESTS = Path(__file__).resolve().parents[1]
REPOSITORY = TESTS.parent
GLA_FIXTURES = TESTS / "Fixtures" / "gla"
GLA_CASES = sorted(path.parent.name for path in GLA_FIXTURES.glob("*/reference.json"))
MAMBA2_FIXTURES = TESTS / "Fixtures" / "mamba2"
MAMBA2_CASES = sorted(path.parent.name for path in MAMBA2_FIXTURES.glob("*/reference.safetensors"))
MAMBA2_DIALECTS = sorted(path.parent.name for path in MAMBA2_FIXTURES.glob("dialects/*/config.json"))

sys.path[:0] = [str(REPOSITORY / "python"), str(TESTS / "Interop"), str(GLA_FIXTURES), str(MAMBA2_FIXTURES),
                str(TESTS / "Fixtures" / "torch")]


def pytest_generate_tests(metafunc):
    """A test with the argument `gla_case`, ... runs for each directory of that kind."""
    for argument, names in (("gla_case", GLA_CASES), ("mamba2_case", MAMBA2_CASES),
                            ("mamba2_dialect", MAMBA2_DIALECTS)):
        if argument in metafunc.fixturenames:
            metafunc.parametrize(argument, names, indirect=True)


@pytest.fixture
def gla_case(request):
    """One fixture directory: config.json, model.safetensors, reference.json, reference.safetensors."""
    return GLA_FIXTURES / request.param


@pytest.fixture
def mamba2_case(request):
    """One fixture directory, with the same files as those of GLA."""
    return MAMBA2_FIXTURES / request.param


@pytest.fixture
def mamba2_dialect(request):
    """A Mamba2 checkpoint as transformers, fla or mamba_ssm spells it: config.json, model.safetensors."""
    return MAMBA2_FIXTURES / "dialects" / request.param


@pytest.fixture
def one_thread():
    """torch computes on one thread, as it did when the fixtures were made."""
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


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


@pytest.fixture(scope="session")
def program():
    """The path of the `statex` program."""
    binaries = os.environ.get("STATEX_BIN")
    if not binaries:
        pytest.skip("STATEX_BIN is not set")
    return str(Path(binaries).resolve() / "statex")


@pytest.fixture
def token_file(tmp_path):
    """The token that clients of `statex score --listen` send."""
    (tmp_path / "token").write_text("a token of the tests\n")
    (tmp_path / "token").chmod(0o600)
    return tmp_path / "token"


@pytest.fixture
def serve(program, token_file):
    """Starts `statex score --listen` and returns the process, with the address in `address`."""
    started = []

    def run(model, address, *options):
        words = [program, "score", "--model", model, "--listen", address, "--token-file", token_file, *options]
        process = subprocess.Popen([*map(str, words)], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
        started.append(process)
        line = process.stdout.readline()
        if not line and "Cannot assign" in (reason := process.stderr.read()):
            pytest.skip(reason)  # a machine without IPv6
        process.address = line.strip().removeprefix("listening at ")
        return process

    yield run
    for process in started:
        process.kill()
        process.communicate()
