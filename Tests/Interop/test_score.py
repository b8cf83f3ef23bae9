"""`statex score` answers lines of JSON with the numbers of the fixtures, and bad lines with what is wrong.

Lines come over a pipe, from a file, or over a local socket.
"""

import json
import signal
import socket
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


def test_report_of_shared_starts(fixture, command, tmp_path):
    """Four choices of one question: its tokens go through the model once."""
    context, choices = [(7 * n) % 31 for n in range(60)], [[1, 2], [2, 3], [3, 4], [4, 5]]
    lines = [dict(id=n, type="loglikelihood", context=context, continuation=choice)
             for n, choice in enumerate(choices)]
    (tmp_path / "requests.jsonl").write_text("\n".join(map(json.dumps, lines)))
    command("statex", "score", "--model", fixture, "--requests", tmp_path / "requests.jsonl",
            "--json", tmp_path / "report.json")
    report = json.loads((tmp_path / "report.json").read_text())
    assert report == dict(requests=4, tokens=4 * 61, computed_tokens=59 + 4 * 2)


# Over a socket.

TOKEN = "a token of the tests"
GOOD = dict(id=3, type="generate_until", context=[1], max_new_tokens=2)


class Client:
    """A client of the server, which has sent its token."""

    def __init__(self, address, token=TOKEN):
        if address.startswith("unix:"):
            self.socket = socket.socket(socket.AF_UNIX)
            self.socket.connect(address.removeprefix("unix:"))
        else:
            host, _, port = address.rpartition(":")
            self.socket = socket.create_connection((host.strip("[]"), int(port)))
        self.socket.settimeout(60)
        self.lines = self.socket.makefile("rw")
        self.send(json.dumps(dict(token=token)))

    def send(self, *lines):
        self.lines.write("\n".join(lines) + "\n")
        self.lines.flush()

    def answer(self):
        line = self.lines.readline()
        return json.loads(line) if line else None

    def close(self):
        self.lines.close()
        self.socket.close()


@pytest.fixture(params=["127.0.0.1:0", "[::1]:0", "unix"])
def server(request, serve, tmp_path):
    """A server of the GLA fixture, which reports its work."""
    address = f"unix:{tmp_path}/socket" if request.param == "unix" else request.param
    return serve(GLA_FIXTURES / "expanded", address, "--json", tmp_path / "report.json")


def test_clients_one_after_the_other(server, tmp_path):
    for _ in range(3):
        client = Client(server.address)
        assert client.answer() == dict(model=str(GLA_FIXTURES / "expanded"), vocabulary=client_vocabulary())
        client.send("nonsense", json.dumps(GOOD), "")
        first, second = client.answer(), client.answer()
        assert first["line"] == 2 and "JSON" in first["error"]
        assert second["id"] == 3 and len(second["tokens"]) == 2
        # What is left is answered when the client has sent all.
        client.send(json.dumps(GOOD | dict(id="last")))
        client.socket.shutdown(socket.SHUT_WR)
        assert client.answer()["id"] == "last" and client.answer() is None
        client.close()
    server.send_signal(signal.SIGTERM)
    assert server.wait(timeout=60) == 0
    assert json.loads((tmp_path / "report.json").read_text())["requests"] == 6
    assert not (tmp_path / "socket").exists()


def client_vocabulary():
    return json.loads((GLA_FIXTURES / "expanded" / "config.json").read_text())["vocab_size"]


def test_strangers_and_lost_clients(server):
    for token in ("", TOKEN[:-1], TOKEN[:-1] + "x", TOKEN + "x", 7):
        stranger = Client(server.address, token)
        assert stranger.answer()["error"].startswith("token: ") and stranger.answer() is None
        stranger.close()
    silent = Client(server.address)
    silent.close()
    for last in ("", '{"id": 1, "type": "loglik'):  # gone before its answers, and in the middle of a line
        lost = Client(server.address)
        lost.send(*[json.dumps(GOOD)] * 2000)
        lost.lines.write(last)
        lost.close()
    client = Client(server.address)
    assert "model" in client.answer()
    client.send(json.dumps(GOOD), "")
    assert client.answer()["id"] == 3
    # A signal ends the server although a client is there.
    server.send_signal(signal.SIGTERM)
    assert server.wait(timeout=60) == 0
    assert client.answer() is None


def test_a_client_that_says_nothing_is_dropped(serve):
    """After ten seconds, so that it cannot keep the others waiting."""
    server = serve(GLA_FIXTURES / "expanded", "127.0.0.1:0")
    host, _, port = server.address.rpartition(":")
    with socket.create_connection((host, int(port))) as silent:
        client = Client(server.address)
        assert "model" in client.answer()
        assert silent.recv(1) == b""
    server.send_signal(signal.SIGTERM)
    assert server.wait(timeout=60) == 0
    assert server.stderr.read().startswith("warning: cannot read the client at 127.0.0.1:")


def test_a_socket_in_use_and_one_left_behind(serve, program, token_file, tmp_path):
    model, address = GLA_FIXTURES / "expanded", f"unix:{tmp_path}/socket"
    first = serve(model, address)
    assert first.address == address
    assert (tmp_path / "socket").stat().st_mode & 0o777 == 0o600
    words = [program, "score", "--model", str(model), "--token-file", str(token_file), "--listen", address]
    second = subprocess.run(words, capture_output=True, text=True, timeout=60)
    assert second.returncode == 74 and "cannot listen at unix:" in second.stderr
    first.kill()
    first.wait()
    assert (tmp_path / "socket").exists()
    third = serve(model, address)
    assert third.address == address
    third.send_signal(signal.SIGINT)
    assert third.wait(timeout=60) == 0


@pytest.mark.parametrize("words, code, message", [
    (["--listen", "0.0.0.0:0"], 64, "0.0.0.0 is no loopback address"),
    (["--listen", "192.168.1.2:80"], 64, "no loopback address"),
    (["--listen", "[::]:0"], 64, ":: is no loopback address"),
    (["--listen", "localhost:0"], 64, "localhost is no loopback address"),
    (["--listen", "127.0.0.1"], 64, "expected 127.0.0.1:PORT"),
    (["--listen", "127.0.0.1:70000"], 64, "expected 127.0.0.1:PORT"),
    (["--listen", "unix:" + "x" * 200], 64, "the path of a socket"),
    (["--listen", "127.0.0.1:0", "--requests", "x"], 64, "either --listen or --requests"),
])
def test_refused_addresses(words, code, message, program, token_file):
    done = subprocess.run([program, "score", "--model", "none", "--token-file", str(token_file), *words],
                          capture_output=True, text=True, timeout=60)
    assert done.returncode == code and message in done.stderr
    assert done.stderr.startswith("error: ") and done.stderr.count("\n") == 1


def test_a_token_is_needed(program, token_file):
    words = [program, "score", "--model", str(GLA_FIXTURES / "expanded"), "--listen", "127.0.0.1:0"]
    done = subprocess.run(words, capture_output=True, text=True, timeout=60)
    assert done.returncode == 64 and "--token-file" in done.stderr
    words += ["--token-file", str(token_file)]
    token_file.write_text("short")
    done = subprocess.run(words, capture_output=True, text=True, timeout=60)
    assert done.returncode == 65 and "16 to 1024" in done.stderr
    token_file.write_text(TOKEN)
    token_file.chmod(0o644)
    done = subprocess.run(words, capture_output=True, text=True, timeout=60)
    assert done.returncode == 65 and "chmod 600" in done.stderr
