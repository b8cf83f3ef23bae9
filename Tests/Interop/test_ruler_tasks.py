"""RULER's needle tasks: what its own code, as lm-evaluation-harness has it, makes of our needles and depths."""

import json
import re
from types import SimpleNamespace

import pytest

from conftest import REPOSITORY

pytest.importorskip("wonderwords")
from lm_eval.tasks.ruler import common_utils, niah_utils, prepare_niah  # noqa: E402

TEXT = """One morning the lamp was gone.  "Who took it?" asked Ada; nobody knew.
It was v1.5 of the lamp... or so they said! (They were wrong.) 'Tis no matter? Yes. no. \u00c9t\u00e9 came.
\u201cSummer!\u201d she said. Then it rained.\tThe end. """

# Haystack, keys, values of a key, keys asked for, type of the values.
TASKS = {
    "niah_single_1": ("repeat", 1, 1, 1, "numbers"),
    "niah_single_2": ("essay", 1, 1, 1, "numbers"),
    "niah_single_3": ("essay", 1, 1, 1, "uuids"),
    "niah_multikey_1": ("essay", 4, 1, 1, "numbers"),
    "niah_multikey_2": ("needle", 1, 1, 1, "numbers"),
    "niah_multikey_3": ("needle", 1, 1, 1, "uuids"),
    "niah_multivalue": ("essay", 1, 4, 1, "numbers"),
    "niah_multiquery": ("essay", 4, 1, 4, "numbers"),
}
NEEDLE = re.compile(r"One of the special magic \w+s for (\S+) is: (\S+)\.(?=[ \n]|$)")


@pytest.fixture(scope="module")
def rows(tmp_path_factory, command):
    """Rows to train on: of each task their prompts, and the answers that follow."""
    place = tmp_path_factory.mktemp("ruler")
    (place / "text.txt").write_text(TEXT, encoding="utf-8")
    made = {}
    for task, (haystack, *_) in TASKS.items():
        own = f", haystack: {place / 'text.txt'}" if haystack == "essay" else ""
        (place / "recipe.yaml").write_text(f"""
run: {{output: {place / 'run'}}}
model: {{config: {{model_type: gla, hidden_size: 16, num_hidden_layers: 1, num_heads: 2, vocab_size: 257}}}}
data: {{sequence_length: 1777, sources: [{{task: {task}, tokenizer: byte{own}}}]}}
train: {{steps: 12, sequences_per_step: 1, micro_batch: 1, segment_length: 64}}
""")
        shown = command("statex", "data", "inspect", "--recipe", place / "recipe.yaml", "--first", "12", "--json")
        made[task] = [prompt_and_answer(sample) for sample in json.loads(shown.stdout)["samples"]]
    return made


def prompt_and_answer(sample):
    counted = [t for t, weight in enumerate(sample["weights"]) if weight > 0]
    answer = bytes(sample["targets"][t] for t in counted)
    return bytes(sample["inputs"][: counted[0] + 1]).decode(), answer.decode()


def sentences(words):
    """Our rule in place of Punkt."""
    parts = []
    for before, word in zip(["."] + words, words):
        starts = not parts or (before[-1] in ".!?" and (word[0].isupper() or word[0] in "\"'\u2018\u201c\u00ab"))
        parts.append([word]) if starts else parts[-1].append(word)
    return parts


@pytest.mark.parametrize("task", TASKS)
def test_the_prompt_is_rulers(task, rows, monkeypatch):
    haystack, keys, values, queries, kind = TASKS[task]
    for prompt, answer in rows[task]:
        context = prompt.split("\n", 1)[1].rsplit("\n", 1)[0]
        query = prompt.rsplit(" for ", 1)[1].split(" mentioned")[0].replace(", and ", ", ").split(", ")
        all_needles = [match.groups() for match in NEEDLE.finditer(context)]
        needles = [n for n in all_needles if n[0] in query] if haystack == "needle" else all_needles
        assert len(needles) == keys * values
        order = list(dict.fromkeys(key for key, _ in needles))
        draws = [x for key in order for x in [key] + [v for k, v in needles if k == key]]
        # Needles of one key stand together in RULER's list; its shuffle is made the one that gives our order.
        listed = [n for key in order for n in needles if n[0] == key]
        positions, size = places(haystack, context, needles)
        if haystack == "needle":
            draws += [x for n in all_needles if n not in needles for x in n]
        draws, chosen = iter(draws), iter([positions, [order.index(key) for key in query]])
        monkeypatch.setattr(prepare_niah, "generate_random", lambda _: next(draws))
        monkeypatch.setattr(prepare_niah.random, "sample", lambda *_: next(chosen))
        monkeypatch.setattr(prepare_niah.random, "Random", lambda _: SimpleNamespace(
            shuffle=lambda these: these.__setitem__(slice(None), arranged(these, listed, needles, haystack))))
        monkeypatch.setattr(
            prepare_niah, "cached_sent_tokenize", lambda text: [" ".join(s) for s in sentences(text.split(" "))])
        words = [w for piece in NEEDLE.split(context)[::3] for w in piece.split()]
        made = prepare_niah.generate_input_output(
            size, {"essay": words, "repeat": prepare_niah.get_haystack("repeat"),
                   "needle": prepare_niah.get_haystack("needle")}[haystack],
            type_haystack=haystack, num_needle_k=keys, type_needle_k="words", num_needle_v=values,
            type_needle_v=kind, template=niah_utils.TEMPLATE, num_needle_q=queries)
        monkeypatch.setattr(prepare_niah, "generate_input_output", lambda *_, **__: made)
        (sample,) = prepare_niah.generate_samples(
            "", TOKENIZER=lambda _: SimpleNamespace(input_ids=[0]), max_seq_length=129, type_haystack=haystack,
            type_needle_k="words", type_needle_v=kind, template="", num_samples=1, num_needle_v=values,
            num_needle_q=queries)
        monkeypatch.undo()
        assert prompt == sample["input"] + " " + sample["gen_prefix"]
        assert sorted(sample["outputs"]) == sorted(v for k, v in needles if k in query)
        assert common_utils.string_match_all([answer], [sample["outputs"]]) == 1


def places(haystack, context, needles):
    """Where the needles stand, as RULER draws it, and how much haystack there is."""
    if haystack != "essay":
        lines = context.split("\n")
        return [i for i, line in enumerate(lines) if any(n[1] in line for n in needles)][::-1], len(lines) - len(needles)
    pieces = [piece.split() for piece in NEEDLE.split(context)[::3]]
    parts = sentences([word for piece in pieces for word in piece])
    starts, count = {0: 0}, 0
    for number, part in enumerate(parts):
        count += len(part)
        starts[count] = number + 1
    depths, count = [], 0
    for piece in pieces[:-1]:
        count += len(piece)
        # Any depth that gives the sentence before which it stands.
        depths.append(next(d for d in prepare_niah.DEPTHS if int(len(parts) * (d / 100)) == starts[count]))
    return depths, sum(len(piece) for piece in pieces)


def arranged(these, listed, needles, haystack):
    """RULER's needles in the order in which ours stand; it inserts into lines from the last one on."""
    by_needle = dict(zip(listed, these))
    ours = [by_needle[needle] for needle in needles]
    return ours if haystack == "essay" else ours[::-1]


def test_string_match_all():
    cases = json.loads((REPOSITORY / "Tests/Fixtures/recall/string_match_all.json").read_text())
    for case in cases:
        cleaned = common_utils.postprocess_pred([case["prediction"]])
        assert common_utils.string_match_all(cleaned, [case["references"]]) == case["score"], case


def test_depths():
    source = (REPOSITORY / "Sources/RecallTasks/EssayNeedles.swift").read_text()
    listed = re.search(r"static let depths = \[(.*?)\]", source, re.S)[1]
    assert [int(number) for number in re.findall(r"\d+", listed)] == [int(depth) for depth in prepare_niah.DEPTHS]
