"""lm-evaluation-harness on statex: `lm_eval --model statex --model_args path=DIR ...`.

The package offers the model to `lm_eval` as an entry point, which versions after 0.4.13 look for; with earlier
ones `python -m statex.lm_eval` is the same command. The model runs in `statex score`, which is started here or
serves a local socket. Texts are tokenized by the model's Hugging Face tokenizer, as `--model hf` does, so both
score the same tokens. Needs `statex[lm-eval]`.
"""

import contextlib
import json
import socket
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import IO, Any

import lm_eval.models  # noqa: F401 (registers the others, which lm_eval does only while it knows of none)
from lm_eval.api.instance import Instance
from lm_eval.api.model import TemplateLM
from lm_eval.api.registry import register_model
from transformers import AutoTokenizer

Answer = dict[str, Any]


class Scorer:
    """A `statex score` that answers: its two streams of lines. Subclasses open and close them."""

    WINDOW = 4096
    """Requests that are sent before answers are read: as many as it answers together."""

    requests: IO[str]
    responses: IO[str]

    def answers(self, requests: list[dict[str, Any]]) -> Iterator[Answer]:
        """The answer to each request, in order. Raises `RuntimeError` with what is wrong with one."""
        for first in range(0, len(requests), self.WINDOW):
            window = requests[first : first + self.WINDOW]
            try:
                for number, request in enumerate(window, start=first):
                    self.requests.write(json.dumps({"id": number, **request}) + "\n")
                self.requests.write("\n")
                self.requests.flush()
            except (BrokenPipeError, ConnectionResetError):
                pass  # it has ended, and reading tells how
            for number in range(first, first + len(window)):
                yield self.answer(f"request {number}")

    def answer(self, what: str) -> Answer:
        """The next line. Raises `RuntimeError` if it is an error about `what`, or if there is none."""
        line = self.responses.readline()
        if not line:
            raise RuntimeError(self.ending())
        answer = json.loads(line)
        if "error" in answer:
            raise RuntimeError(f"{what}: {answer['error']}")
        return answer

    def ending(self) -> str:
        """Why no more lines come."""
        raise NotImplementedError

    def close(self) -> None:
        """Ends the conversation."""
        raise NotImplementedError


class ScorerProcess(Scorer):
    """A `statex score` of our own, which ends with us."""

    def __init__(self, command: list[str]) -> None:
        self._process = subprocess.Popen(
            command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, encoding="utf-8"
        )
        assert self._process.stdin is not None and self._process.stdout is not None
        self.requests, self.responses = self._process.stdin, self._process.stdout

    def ending(self) -> str:
        return f"statex score ended with exit code {self._process.wait()}"

    def close(self) -> None:
        self.requests.close()
        self._process.wait()


class ScorerConnection(Scorer):
    """A connection to a `statex score --listen ADDRESS --token-file FILE` on this machine."""

    def __init__(self, address: str, token_file: str) -> None:
        self.address = address
        if address.startswith("unix:"):
            self._socket = socket.socket(socket.AF_UNIX)
            self._socket.connect(address.removeprefix("unix:"))
        else:
            host, _, port = address.rpartition(":")
            self._socket = socket.create_connection((host.strip("[]"), int(port)))
        self.requests = self._socket.makefile("w", encoding="utf-8")
        self.responses = self._socket.makefile("r", encoding="utf-8")
        token = Path(token_file).read_text(encoding="utf-8").strip()
        self.requests.write(json.dumps({"token": token}) + "\n")
        self.requests.flush()
        try:
            self.vocabulary = self.answer(address)["vocabulary"]
            """The server's model has this many token ids."""
        except RuntimeError:
            self.close()
            raise

    def ending(self) -> str:
        return f"{self.address}: the server closed the connection"

    def close(self) -> None:
        # The socket stays open as long as one of its files does, and other clients would wait.
        for part in (self.requests, self.responses, self._socket):
            with contextlib.suppress(OSError):
                part.close()


@register_model("statex")
class StatexLM(TemplateLM):
    """A model directory, scored by `statex score`.

    Model arguments: `path` (or `pretrained`), `program` (the `statex` to run), `tokenizer` (default: the
    model's), `threads`, `segment_length`, `report` (a file for the numbers of tokens asked and computed), or in
    place of these four `server` and `token_file` (the address of a `statex score --listen` that has the model,
    and the file with its token); `max_length` (tokens to which contexts are cut from the left, as
    `--model hf` cuts at its `max_length`; default: none, for the state does not grow), `max_gen_toks`,
    `add_bos_token`, `trust_remote_code` (as `--model hf` needs it for an expanded export whose
    tokenizer_config.json does not name its class; statex itself runs no code of the directory).
    """

    def __init__(
        self,
        path: str | None = None,
        pretrained: str | None = None,
        program: str = "statex",
        tokenizer: str | None = None,
        threads: int | None = None,
        segment_length: int | None = None,
        max_length: int | None = None,
        max_gen_toks: int = 256,
        add_bos_token: bool | None = None,
        trust_remote_code: bool = False,
        report: str | None = None,
        server: str | None = None,
        token_file: str | None = None,
        batch_size: Any = None,
        max_batch_size: Any = None,
        device: Any = None,
    ) -> None:
        # Batches are statex's own business, and it has one device: the last three are not used.
        super().__init__()
        model = path or pretrained
        if model is None:
            raise ValueError("--model_args: give path=DIR, a model directory")
        self.tokenizer = AutoTokenizer.from_pretrained(
            tokenizer or model, trust_remote_code=trust_remote_code
        )
        self.max_length = max_length
        self.max_gen_toks = max_gen_toks
        self.add_bos_token = add_bos_token
        options = {"threads": threads, "segment-length": segment_length, "json": report}
        if server is None:
            command = [program, "score", "--model", str(model)]
            for name, value in {"tokenizer": tokenizer, **options}.items():
                if value is not None:
                    command += [f"--{name}", str(value)]
            self._scorer: Scorer = ScorerProcess(command)
            return
        if token_file is None or any(value is not None for value in options.values()):
            raise ValueError("server: give token_file too, and set threads, segment_length and report there")
        connection = ScorerConnection(server, token_file)
        if connection.vocabulary < len(self.tokenizer):
            connection.close()
            raise ValueError(f"server: its model has {connection.vocabulary} ids, {model} {len(self.tokenizer)}")
        self._scorer = connection

    def close(self) -> None:
        """Ends the program, or the connection to it."""
        self._scorer.close()

    @property
    def eot_token_id(self) -> int:
        return self.tokenizer.eos_token_id

    @property
    def prefix_token_id(self) -> int:
        bos = self.tokenizer.bos_token_id
        return self.tokenizer.eos_token_id if bos is None else bos

    @property
    def tokenizer_name(self) -> str:
        return self.tokenizer.name_or_path.replace("/", "__")

    def tok_encode(self, string: str, add_special_tokens: bool | None = None, **_: Any) -> list[int]:
        if add_special_tokens is None:
            prefix = self.tokenizer.decode(self.prefix_token_id)
            add_special_tokens = False if string.startswith(prefix) else self.add_bos_token
        special = {} if add_special_tokens is None else {"add_special_tokens": add_special_tokens}
        return self.tokenizer.encode(string, **special)

    def apply_chat_template(
        self, chat_history: list[dict[str, str]], add_generation_prompt: bool = True
    ) -> str:
        return self.tokenizer.apply_chat_template(
            chat_history,
            tokenize=False,
            add_generation_prompt=add_generation_prompt,
            continue_final_message=not add_generation_prompt,
        )

    def _cut(self, context: list[int], following: int) -> list[int]:
        """The context's last tokens, so that with those that follow there are at most `max_length`."""
        if self.max_length is None:
            return context
        return context[-max(1, self.max_length - following) :]

    def _loglikelihood_tokens(
        self, requests: list[tuple[tuple[str, str], list[int], list[int]]], **_: Any
    ) -> list[tuple[float, bool]]:
        lines = [
            {
                "type": "loglikelihood",
                # The last token is predicted and not read.
                "context": self._cut(context, len(continuation) - 1),
                "continuation": continuation,
            }
            for _, context, continuation in requests
        ]
        results = []
        for (texts, _, _), answer in zip(requests, self._scorer.answers(lines)):
            results.append((answer["loglikelihood"], answer["is_greedy"]))
            self.cache_hook.add_partial("loglikelihood", texts, results[-1])
        return results

    def loglikelihood_rolling(self, requests: list[Instance], disable_tqdm: bool = False) -> list[float]:
        """The log likelihood of whole texts, each in one piece whatever its length."""
        tokens = [self.tok_encode(request.args[0]) for request in requests]
        lines = [
            {"type": "loglikelihood_rolling", "context": [self.prefix_token_id], "tokens": text}
            for text in tokens
            if text
        ]
        answers = self._scorer.answers(lines)
        results = []
        for request, text in zip(requests, tokens):
            results.append(next(answers)["loglikelihood"] if text else 0.0)
            self.cache_hook.add_partial("loglikelihood_rolling", request.args, results[-1])
        return results

    def generate_until(self, requests: list[Instance], disable_tqdm: bool = False) -> list[str]:
        """Greedy continuations, each up to the first of its stop texts."""
        lines, stops = [], []
        for request in requests:
            text, options = request.args
            if options.get("do_sample") and options.get("temperature", 1.0) > 0:
                raise ValueError("statex decodes greedily: run the task with do_sample=False")
            until = options.get("until") or []
            stops.append([until] if isinstance(until, str) else list(until))
            count = int(options.get("max_gen_toks", self.max_gen_toks))
            lines.append(
                {
                    "type": "generate_until",
                    "context": self._cut(self.tok_encode(text) or [self.prefix_token_id], count),
                    "until": [stop for stop in stops[-1] if stop],
                    "stop_tokens": [self.eot_token_id],
                    "max_new_tokens": count,
                }
            )
        results = []
        for request, until, answer in zip(requests, stops, self._scorer.answers(lines)):
            text = self.tokenizer.decode(answer["tokens"], skip_special_tokens=True)
            for stop in filter(None, until):
                text = text.split(stop)[0]
            results.append(text)
            self.cache_hook.add_partial("generate_until", request.args, text)
        return results


def main() -> None:
    """Runs lm_eval's command line."""
    from lm_eval.__main__ import cli_evaluate

    cli_evaluate()


if __name__ == "__main__":
    main()
