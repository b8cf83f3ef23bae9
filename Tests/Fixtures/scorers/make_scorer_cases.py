#!/usr/bin/env python3
"""Writes cases.json: what lm-evaluation-harness's own functions give for a table of cases.

    .venv-interop/bin/python Tests/Fixtures/scorers/make_scorer_cases.py

Tests/EvaluationTests reads the file; Tests/Interop/test_task_files.py checks that it is what this script gives.
"""

import json
import re
from pathlib import Path

import numpy as np
from lm_eval.api import metrics
from lm_eval.api.task import ConfigurableTask, Task
from lm_eval.tasks.ruler.common_utils import postprocess_pred, string_match_all
from sklearn.metrics import f1_score

PATH = Path(__file__).parent / "cases.json"

CHOICES = [
    # Nats, choices, the right ones. Ties, choices of other lengths in characters than in bytes, several right ones.
    ([-6.0, -9.0], ["abc", "abcdefghi"], 1),
    ([-6.0, -6.0], ["one", "two"], 0),
    ([-6.0, -6.0], ["one", "two"], 1),
    ([-4.0, -4.1, -3.9], ["\u00e9\u00e9\u00e9\u00e9", "eeee", "\U0001F600"], 2),
    ([-4.0, -4.1, -30.0], ["\u00e9\u00e9\u00e9\u00e9", "eeee", "x"], 0),
    ([-12.5, -3.25, -7.0, -3.25], ["a b c d e f g", " b", "c", "d e"], [1, 3]),
    ([-12.5, -13.25, -17.0], ["yes, of course", "no", "e\u0301e\u0301"], [0, 2]),
    ([-1e-3, -200.0], ["y", "n" * 4000], 1),
]

TEXTS = [
    # Prediction, answers, options of exact_match.
    ("Paris", ["Paris"], {}),
    (" Paris", ["Paris"], {}),
    ("PARIS", ["paris"], {}),
    ("PARIS", ["paris"], {"ignore_case": True}),
    ("It was BOB.", ["bob"], {}),
    ("It was BOB.", ["it was bob"], {"ignore_case": True, "ignore_punctuation": True}),
    ("1 2", ["1", "3"], {}),
    ("1\r\n2\t3", ["1", "2", "3", "4"], {}),
    ("e\u0301", ["e"], {}),
    ("\u00c9T\u00c9", ["\u00e9t\u00e9"], {"ignore_case": True}),
    ("(a+b)*c", ["a+b"], {}),
    ("a.b", ["axb"], {}),
    ("", ["x"], {}),
]

DOCUMENTS = ["one two  three", " lead and trail \n", "", "a\u00a0b\u2003c", "\u00e9t\u00e9\tx\x1cy", "\n"]


def choice_case(nats, choices, gold):
    class Fixed(ConfigurableTask):
        OUTPUT_TYPE = "multiple_choice"

        def __init__(self):
            self._metric_fn_list = dict.fromkeys(["acc", "acc_norm", "acc_bytes"])
            self.multiple_input, self.multiple_target = 0, int(isinstance(gold, list))
            self._config = type("Config", (), dict(process_results=None))()

        def doc_to_choice(self, doc):
            return choices

        def doc_to_target(self, doc):
            return gold

    found = Fixed().process_results({}, [(value, False) for value in nats])
    return dict(nats=nats, choices=choices, gold=gold if isinstance(gold, list) else [gold],
                **{name: float(found[name]) for name in ("acc", "acc_norm", "acc_bytes")})


def text_case(prediction, answers, options):
    exact = max(
        float(metrics.exact_match_hf_evaluate([prediction], [answer], **options)["exact_match"]) for answer in answers)
    contains = any(re.search(re.escape(answer), prediction, re.IGNORECASE) for answer in answers)
    return dict(prediction=prediction, answers=answers, options=options, exact_match=exact, contains=float(contains),
                string_match_all=string_match_all([postprocess_pred([prediction])[0]], [answers]))


def aggregate_case(seed):
    rng = np.random.default_rng(seed)
    nats = [-float(value) for value in rng.gamma(2, 20, 9)]
    sizes = [int(value) for value in rng.integers(1, 90, 9)]
    labels = [[int(value) for value in rng.integers(0, 4, 9)] for _ in range(2)]
    pairs = list(zip(nats, sizes))
    return dict(
        nats=nats, sizes=sizes, gold=labels[0], chosen=labels[1], perplexity=metrics.perplexity(nats),
        bits_per_byte=metrics.bits_per_byte(pairs), weighted_perplexity=metrics.weighted_perplexity(pairs),
        mean_stderr=metrics.mean_stderr(nats), macro_f1=float(f1_score(*labels, average="macro", zero_division=0)))


def cases():
    return dict(
        choices=[choice_case(*case) for case in CHOICES], texts=[text_case(*case) for case in TEXTS],
        documents=[dict(text=text, words=Task.count_words(text), bytes=Task.count_bytes(text)) for text in DOCUMENTS],
        aggregates=[aggregate_case(seed) for seed in range(4)])


if __name__ == "__main__":
    PATH.write_text(json.dumps(cases(), indent=1) + "\n")
