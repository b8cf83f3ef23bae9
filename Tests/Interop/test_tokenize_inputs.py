"""`statex data tokenize` on files as others write them: gzip, zstd, JSON, Parquet through a pipe."""

import gzip
import json
import random
import subprocess
import sys

import numpy
import pytest

from conftest import REPOSITORY

pyarrow = pytest.importorskip("pyarrow")
import pyarrow.parquet  # noqa: E402  (after importorskip)


def texts():
    """Documents of many lengths with everything that JSON has to escape."""
    source = random.Random(11)
    alphabet = "ab \n\t\"\\/{}[],:\u00e9\u4e2d\U0001f600\u2028\x7f"
    return ["".join(source.choices(alphabet, k=source.randint(1, 3000))) for _ in range(400)]


def documents(prefix):
    """The documents of a data set of the byte tokenizer, as text."""
    tokens = numpy.fromfile(f"{prefix}.bin", "<u2")
    ends = numpy.flatnonzero(tokens == 256)
    parts = numpy.split(tokens, ends + 1)[:-1]
    return [part[:-1].astype(numpy.uint8).tobytes().decode() for part in parts]


def write(path, every):
    """One file of documents, by the writer that its name asks for."""
    rows = [{"id": index, "text": text, "meta": {"n": None}} for index, text in enumerate(every)]
    lines = "".join(json.dumps(row, ensure_ascii=row["id"] % 2 == 0) + "\n" for row in rows)
    name = path.name
    if name.endswith(".jsonl.gz"):
        with gzip.open(path, "wt", encoding="utf-8") as file:
            file.write(lines)
    elif name.endswith(".ndjson.zst"):
        subprocess.run(["zstd", "-q", "-o", path], input=lines.encode(), check=True)
    elif name.startswith("pretty"):
        path.write_text(json.dumps(rows, indent=2, ensure_ascii=False))
    elif name.endswith(".json"):
        path.write_text(json.dumps(rows))
    else:
        path.write_text(lines)


@pytest.mark.parametrize("name", ["a.jsonl", "a.jsonl.gz", "a.ndjson.zst", "a.json", "pretty.json"])
def test_every_kind_of_file_gives_the_same_documents(command, tmp_path, name):
    every = texts()
    write(tmp_path / name, every)
    command("statex", "data", "tokenize", tmp_path / name, "--tokenizer", "byte", "--output", tmp_path / "out")
    assert documents(tmp_path / "out") == every


def test_parquet_comes_through_a_pipe(tmp_path, program):
    every = texts()
    for part, some in enumerate((every[:150], every[150:])):
        table = pyarrow.table({"id": list(range(len(some))), "content": some})
        pyarrow.parquet.write_table(table, tmp_path / f"{part}.parquet", row_group_size=64)
    reader = subprocess.Popen(
        [sys.executable, "-m", "statex.parquet", "--column", "content", "0.parquet", "1.parquet"],
        cwd=tmp_path, env={"PYTHONPATH": str(REPOSITORY / "python")}, stdout=subprocess.PIPE)
    subprocess.run(
        [program, "data", "tokenize", "-", "--field", "content", "--tokenizer", "byte",
         "--output", tmp_path / "out"], stdin=reader.stdout, check=True, timeout=120)
    assert reader.wait(timeout=60) == 0
    assert documents(tmp_path / "out") == every


def test_a_missing_column_is_named(tmp_path):
    pyarrow.parquet.write_table(pyarrow.table({"body": ["x"]}), tmp_path / "a.parquet")
    done = subprocess.run(
        [sys.executable, "-m", "statex.parquet", "a.parquet"], cwd=tmp_path, capture_output=True, text=True,
        env={"PYTHONPATH": str(REPOSITORY / "python")}, timeout=60)
    assert done.returncode == 65
    assert done.stderr == "error: a.parquet: column: has no 'text', only body\n"
