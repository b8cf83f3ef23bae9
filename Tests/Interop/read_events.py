"""Print the scalars that TensorBoard reads from a folder of event files, as JSON.

    python read_events.py FOLDER

The output maps each tag to a list of [step, value] in TensorBoard's order.
"""

import json
import sys

from tensorboard.backend.event_processing import event_accumulator


def read_scalars(folder):
    """The scalars under `folder` as {tag: [[step, value], ...]}, every event kept."""
    accumulator = event_accumulator.EventAccumulator(
        folder, size_guidance={event_accumulator.SCALARS: 0}
    )
    accumulator.Reload()
    return {
        tag: [[event.step, event.value] for event in accumulator.Scalars(tag)]
        for tag in accumulator.Tags()["scalars"]
    }


if __name__ == "__main__":
    if len(sys.argv) != 2:
        sys.exit(__doc__)
    json.dump(read_scalars(sys.argv[1]), sys.stdout)
    print()
