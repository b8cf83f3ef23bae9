"""`tools/run-tests.sh`: what failed stands at the end, and the exit code is that of the tests."""

import subprocess

import pytest
from conftest import REPOSITORY

PASSED = '\u25c7 Test run started.\n\u25c7 Test good() started.\nnoise \u2714 Test good() passed after 0.1 seconds.\n'
FAILED = ('\u25c7 Test "bad" started.\n\u25c7 Test case passing 1 argument n \u2192 1 to bad(n:) started.\n'
          'noise\u2718 Test "bad" recorded an issue with 1 argument n \u2192 1 at A.swift:3:5: Expectation failed: no\n'
          '\u21b3 a comment\n\u2718 Test "bad" with 2 test cases failed after 0.2 seconds with 1 issue.\n')
ENDED = '\u2718 Test run with 2 tests failed after 0.3 seconds with 1 issue.\n'
REPEATED = ('\nWhat failed:\n\u2718 Test "bad" recorded an issue with 1 argument n \u2192 1 at A.swift:3:5: Expectation failed: no\n'
            '\u2718 Test "bad" with 2 test cases failed after 0.2 seconds with 1 issue.\n')


@pytest.mark.parametrize("code, printed, added", [
    (0, PASSED + FAILED + ENDED, ""),
    (3, PASSED + FAILED + ENDED, REPEATED),
    (134, PASSED + FAILED + "\u25c7 Test crash() started.\nFatal error\n", REPEATED + "did not end: crash()\n"),
    (2, "error: no such module\n", ""),
])
def test_what_failed_is_repeated(code, printed, added, tmp_path):
    (tmp_path / "printed").write_text(printed, encoding="utf-8")
    done = subprocess.run(
        [REPOSITORY / "tools" / "run-tests.sh", "bash", "-c", f"cat '{tmp_path}/printed' >&2; exit {code}"],
        stdout=subprocess.PIPE, stderr=subprocess.STDOUT, encoding="utf-8")
    assert (done.returncode, done.stdout) == (code, printed + added)


def test_at_most_a_hundred_lines(tmp_path):
    lines = "".join(f"\u2718 Test a{n}() failed after 0.1 seconds with 1 issue.\n" for n in range(150))
    (tmp_path / "printed").write_text(lines, encoding="utf-8")
    done = subprocess.run([REPOSITORY / "tools" / "run-tests.sh", "bash", "-c", f"cat '{tmp_path}/printed'; exit 1"],
                          stdout=subprocess.PIPE, encoding="utf-8")
    assert done.returncode == 1 and "What failed (the first 100 of 150 lines):\n\u2718 Test a0()" in done.stdout
    assert done.stdout.endswith("Test a99() failed after 0.1 seconds with 1 issue.\n")
