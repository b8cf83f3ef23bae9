"""Token files on both sides of Megatron-LM: its reader opens ours, and its writer writes the same bytes."""

import json
import random

import numpy
import pytest

indexed_dataset = pytest.importorskip("megatron.core.datasets.indexed_dataset", reason="needs megatron-core")


# More than 16 bits can number.
VOCABULARY = 70_000


def documents():
    """Text of many lengths, one of which is a character."""
    source = random.Random(5)
    return ["".join(source.choices("ab \n\u00e9\u4e2d", k=source.randint(1, 900))) for _ in range(300)]


def tokenized(command, tmp_path):
    """Our data set of the documents, and the ids that it should hold."""
    texts = documents()
    (tmp_path / "a.jsonl").write_text("".join(json.dumps({"text": text}) + "\n" for text in texts))
    command("statex", "data", "tokenize", tmp_path / "a.jsonl", "--tokenizer", "byte", "--output", tmp_path / "ours")
    return tmp_path / "ours", [list(text.encode()) + [256] for text in texts]


def test_megatrons_reader_opens_our_files(command, tmp_path):
    prefix, expected = tokenized(command, tmp_path)
    read = indexed_dataset.IndexedDataset(str(prefix))
    assert len(read) == len(expected)
    assert [row.tolist() for row in read] == expected
    assert read.sequence_lengths.tolist() == [len(row) for row in expected]
    assert read.document_indices.tolist() == list(range(len(expected) + 1))
    assert read.index.dtype == numpy.uint16
    assert read.get(7, offset=1, length=3).tolist() == expected[7][1:4]


def test_megatrons_writer_writes_the_same_bytes(command, tmp_path):
    prefix, expected = tokenized(command, tmp_path)
    builder = indexed_dataset.IndexedDatasetBuilder(
        str(tmp_path / "theirs.bin"), dtype=indexed_dataset.DType.optimal_dtype(257))
    for row in expected:
        builder.add_document(numpy.array(row), [len(row)])
    builder.finalize(str(tmp_path / "theirs.idx"))
    for ending in (".bin", ".idx"):
        assert (tmp_path / f"theirs{ending}").read_bytes() == prefix.with_suffix(ending).read_bytes()


@pytest.mark.parametrize("size, dtype", [(65_499, numpy.uint16), (65_500, numpy.int32)])
def test_both_store_ids_in_the_same_number_of_bytes(size, dtype):
    assert indexed_dataset.DType.optimal_dtype(size) == dtype


def test_we_read_what_megatron_writes(command, tmp_path):
    ids = numpy.random.default_rng(3).integers(0, VOCABULARY, 4000)
    builder = indexed_dataset.IndexedDatasetBuilder(
        str(tmp_path / "theirs.bin"), dtype=indexed_dataset.DType.optimal_dtype(VOCABULARY))
    builder.add_document(ids[:1000], [400, 600])  # two sequences of one document
    builder.add_document(ids[1000:], [3000])
    builder.finalize(str(tmp_path / "theirs.idx"))
    told = json.loads(command("statex", "data", "inspect", tmp_path / "theirs", "--json").stdout)
    assert (told["documents"], told["sequences"], told["tokens"]) == (2, 3, 4000)
    assert told["dtype"] == "int32" and told["largest_id"] == ids.max()
    assert told["first_tokens"] == ids[:16].tolist()
