"""TensorBoard's own reader understands the event files that TrainingMetrics writes.

The records are those that Tests/TrainingMetricsTests/TensorBoardTests.swift asks of the writer.
"""

from read_events import read_scalars

VERSION = bytes.fromhex(
    "18 00 00 00 00 00 00 00 a3 7f 4b 22 09 00 00 00 00 00 00 00 00 1a 0d 62 72 61 69 6e 2e "
    "45 76 65 6e 74 3a 32 ee df 28 a3"
)
START_AT_1 = bytes.fromhex(
    "0f 00 00 00 00 00 00 00 6d 53 2b 09 09 00 00 00 00 00 00 00 00 10 01 3a 02 08 01 31 3e 82 88"
)
LOSS_AT_1 = bytes.fromhex(
    "1a 00 00 00 00 00 00 00 12 9b d8 2d 09 00 00 00 00 00 00 00 00 10 01 2a 0d 0a 0b 0a 04 "
    "6c 6f 73 73 15 00 00 20 40 bb fe 84 c0"
)


def test_scalars_are_read(tmp_path):
    (tmp_path / "events.out.tfevents.0000000000.000.host.1").write_bytes(VERSION + LOSS_AT_1)
    assert read_scalars(str(tmp_path)) == {"loss": [[1, 2.5]]}


def test_a_second_start_replaces_repeated_steps(tmp_path):
    for start in range(2):
        name = f"events.out.tfevents.0000000000.00{start}.host.1"
        (tmp_path / name).write_bytes(VERSION + START_AT_1 + LOSS_AT_1)
    assert read_scalars(str(tmp_path)) == {"loss": [[1, 2.5]]}
