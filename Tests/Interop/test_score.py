"""`statex score` answers lines of JSON with the numbers of the fixtures, and bad lines with what is wrong."""

import json
import subprocess

import numpy as np
import pytest

from conftest import GLA_FIXTURES, MAMBA2_FIXTURES


@pytest.fixture(params=[GLA_FIXTURES / "expanded", MAMBA2_FIXTURES / "expanded"], ids=["gla", "mamba2"])
def fixture(request):
    """A model's directory."""
    return request.param


def test_numbers_of_the_fixtures(fixture, command, tmp_path):
    reference = json.loads((fixture / "reference.json").read_text())
    tokens, nll = reference["tokens"][0], np.array(reference["token_nll_float64"])
    spans = [(1, len(tokens)), (40, 43), (40, 41), (40, 60), (75, 80), (5, 9)]
    lines = [dict(id=number, type="loglikelihood", context=tokens[:start], continuation=tokens[start:end])
             for number, (start, end) in enumerate(spans)]
    lines.append(dict(id="text", type="loglikelihood_rolling", context=tokens[:1], tokens=tokens[1:]))
    (tmp_path / "requests.jsonl").write_text("\n".join(map(json.dumps, lines)) + "\n")
    done = command("statex", "score", "--model", fixture, "--requests", tmp_path / "requests.jsonl")
    answers = [json.loads(line) for line in done.stdout.splitlines()]
    assert [answer["id"] for answer in answers] == [line["id"] for line in lines]
    for (start, end), answer in zip(spans, answers):
        assert answer.keys() == {"id", "loglikelihood", "is_greedy"}
        assert answer["loglikelihood"] == pytest.approx(-nll[start - 1:end - 1].sum(), abs=1e-3)
    assert answers[-1].keys() == {"id", "loglikelihood"}
    assert answers[-1]["loglikelihood"] == pytest.approx(-nll.sum(), abs=1e-3)


def test_goes_on_after_bad_requests(fixture, program):
    """Over a pipe: answers come after an empty line, while the program waits for more."""
    process = subprocess.Popen([program, "score", "--model", str(fixture)], text=True,
                               stdin=subprocess.PIPE, stdout=subprocess.PIPE)
    good = '{"id": 3, "type": "generate_until", "context": [1], "max_new_tokens": 2}'
    for _ in range(2):
        process.stdin.write('nonsense\n{"id": 2, "type": "loglikelihood", "context": [100000]}\n' + good + "\n\n")
        process.stdin.flush()
        first, second, third = (json.loads(process.stdout.readline()) for _ in range(3))
        assert first.keys() == {"line", "error"} and "JSON" in first["error"]
        assert second["id"] == 2 and "`continuation`" in second["error"]
        assert third["id"] == 3 and len(third["tokens"]) == 2
    process.stdin.close()
    assert process.wait(timeout=60) == 0
