"""`tools/reproduce.py`: its shortest matrix, started, stopped, and started again."""

import json
import os
import signal
import subprocess
import sys
import time

import pytest
from conftest import REPOSITORY

sys.path.insert(0, str(REPOSITORY / "tools"))
import reproduce_matrix as matrices  # noqa: E402
import reproduce_results as results  # noqa: E402

DRIVER = REPOSITORY / "tools" / "reproduce.py"
ARMS = ["lpt", "reinitialize", "other_layer", "control", "lpt_2x"]


@pytest.fixture
def start(program, tmp_path):
    """Starts the driver on the arms above."""
    def start(*options):
        return subprocess.Popen(
            [sys.executable, DRIVER, "--bin", os.path.dirname(program), "--matrix", "smoke", "--output", tmp_path,
             "--jobs", "2", "--arms", *ARMS, *options], text=True, stdout=subprocess.PIPE, stderr=subprocess.PIPE)
    return start


def test_results_and_restart(program, start, tmp_path):
    stopped = start()
    try:
        # In the middle: a base model is there, not all arms are.
        deadline = time.monotonic() + 300
        while not list(tmp_path.glob("*/seed-0/lpt.log")) and time.monotonic() < deadline:
            time.sleep(0.05)
        stopped.send_signal(signal.SIGTERM)
        _, errors = stopped.communicate(timeout=300)
    finally:
        stopped.kill()
    assert (stopped.returncode, errors) == (75, "stopped; start again to go on\n")
    finished = {path: path.stat().st_mtime_ns for path in tmp_path.glob("*/seed-0/base.arm.json")}
    assert finished and not (tmp_path / "results.json").exists()

    process = start()
    output, errors = process.communicate(timeout=900)
    assert (process.returncode, errors) == (0, "")
    found = json.loads((tmp_path / "results.json").read_text())
    arms = {(arm["family"], arm["arm"]): arm for arm in found["arms"]}
    assert arms.keys() == {(family, arm) for family in ("gla", "mamba2") for arm in ("base", *ARMS)}
    for (family, name), arm in arms.items():
        assert arm["steps"] == {"base": 4, "lpt_2x": 6}.get(name, 3) and arm["tokens"] == 2 * arm["steps"] * (
            64 if name == "base" else 128)
        assert arm["peak_memory_bytes"] > 10_000_000 and arm["wall_seconds"] > 0
        assert [row["name"] for row in arm["recall"]] == ["mqar_8", "mqar_updates_8", "needles_40"]
        report = json.loads((tmp_path / arm["report"]).read_text())
        assert arm["recall"][0]["value"] == report["tasks"]["mqar_8"]["accuracy"]
        assert arm["text"]["nll"] == report["perplexity"]["nll"]
        assert (tmp_path / arm["run"] / "export" / "config.json").exists() and (tmp_path / arm["samples"]).exists()
        compared = name not in ("base", "lpt")
        assert bool(arm["from_lpt"]) == (name != "lpt") and (not compared or arm["from_lpt"][-1]["pairs"] == 4)
    # Two layers of 512 numbers; one of them becomes 2048. Mamba2: 1024 and 4096.
    for family, numbers in (("gla", 512), ("mamba2", 1024)):
        assert arms[family, "lpt"]["state_bytes"] == arms[family, "control"]["state_bytes"] == 4 * 2 * numbers
        assert arms[family, "reinitialize"]["state_bytes"] == 4 * 5 * numbers
        # Same samples in the same order, from the same base model; the control starts elsewhere.
        seeds = {arms[family, name]["overrides"][0] for name in ARMS}
        assert seeds == {"run.seed=100"}
        first = {name: json.loads((tmp_path / arms[family, name]["run"] / "metrics.jsonl").read_text().splitlines()[0])
                 for name in ARMS}
        assert first["lpt"]["loss"] == first["lpt_2x"]["loss"] != first["control"]["loss"]
        assert first["lpt"]["target_share.recall"] == first["reinitialize"]["target_share.recall"]
    lpt = {line["family"]: line for line in found["summary"] if line["arm"] == "reinitialize"}["gla"]
    values = arms["gla", "reinitialize"]["text"]["nll"] / arms["gla", "lpt"]["text"]["nll"] - 1
    assert lpt["from_lpt"]["text_nll_ratio"] == {"mean": values, "deviation": None, "values": [values]}
    assert "ten points, and text loss" in output and output.endswith((tmp_path / "table.txt").read_text())

    # The layer that is worth most to the base model, and the one whose expansion gained most.
    for probe in found["probes"]:
        for arm in ("reinitialize", "other_layer"):
            (layer,) = arms[probe["family"], arm]["expansion"]["layers"]
            (gain,) = (row["difference"] for row in arms[probe["family"], arm]["from_lpt"] if row["name"] == probe["name"])
            assert probe["layers"][layer]["gains"] == {"reinitialize": gain, "inherit": None}
        assert [found["measure"] for found in probe["predictions"]] == list(results.MEASURES)
        for prediction in probe["predictions"]:
            numbers = [layer[prediction["measure"]]["mean"] for layer in probe["layers"]]
            gains = [layer["gains"]["reinitialize"] for layer in probe["layers"]]
            assert prediction["init"] == "reinitialize"
            assert (numbers[prediction["first"]], gains[prediction["best"]]) == (max(numbers), max(gains))
            assert prediction["agrees"] == (prediction["first"] == prediction["best"])
            assert prediction["correlation"] in (None, -1, 1)
        assert json.loads((tmp_path / probe["report"]).read_text())["windows"] == [1]

    # Every row that a longer matrix measures can be drawn.
    for task in {task for matrix in matrices.MATRICES.values() for task in matrix.tasks}:
        subprocess.run([program, "evaluate", "--model", tmp_path / arms["gla", "base"]["run"] / "export",
                        "--samples", "1", "--task", task.argument], check=True, stdout=subprocess.DEVNULL)

    # Nothing is done twice.
    records = {path: path.stat().st_mtime_ns for path in tmp_path.glob("*/seed-0/*.arm.json")}
    again = start()
    assert again.communicate(timeout=300)[1] == "" and again.returncode == 0
    assert {path: path.stat().st_mtime_ns for path in records} == records


def test_another_experiment_is_refused(start, tmp_path):
    place = tmp_path / "gla" / "seed-0"
    place.mkdir(parents=True)
    (place / "base.arm.json").write_text(json.dumps({"identity": "other"}))
    process = start("--families", "gla")
    _, errors = process.communicate(timeout=300)
    assert process.returncode == 64
    assert errors.startswith(f"error: {place}/base.arm.json: of another recipe or matrix") and errors.count("\n") == 1


def test_rank_correlation():
    assert results.rank_correlation([0.1, 0.5, 0.2, 0.9], [3, 7, 4, 8]) == 1
    assert results.rank_correlation([1, 2, 3], [9, 8, 7]) == -1
    # scipy.stats.spearmanr([1, 2, 2, 4, 5], [2, 1, 4, 3, 5]).statistic
    assert results.rank_correlation([1, 2, 2, 4, 5], [2, 1, 4, 3, 5]) == pytest.approx(0.6668859288553502, abs=1e-12)
    assert results.rank_correlation([1, 1], [1, 2]) is None


def test_what_a_probe_could_not_measure_is_a_dash():
    layer = {"layer": 0, "accuracy_lost": {"mean": None, "stderr": None}, "nll_gained": {"mean": 0.25, "stderr": None},
             "nll_gained_at_half_rank": {"mean": None, "stderr": None}, "effective_rank": [None, None],
             "gains": {"reinitialize": -0.125, "inherit": None}}
    lines = results.probe_lines([{"seed": 0, "name": "mqar_16", "layers": [layer]}])
    assert lines[1] == ["seed 0, layer 0, mqar_16", "-", "0.25", "-", "-", "-12.5", "-"]
    # Nothing is predicted from what could not be measured.
    assert results.is_known([layer], "reinitialize", "nll_gained")
    assert not results.is_known([layer], "reinitialize", "accuracy_lost")
    assert not results.is_known([layer], "inherit", "nll_gained")


def test_wide_models(start, tmp_path):
    process = start("--families", "gla-wide", "mamba2-wide", "--arms", "lpt", "reinitialize")
    _, errors = process.communicate(timeout=900)
    assert (process.returncode, errors) == (0, "")
    arms = {(arm["family"], arm["arm"]): arm for arm in json.loads((tmp_path / "results.json").read_text())["arms"]}
    # Four layers of 4 x 16 x 32 numbers, or 8 x 8 x 32; every one becomes four times larger.
    for family, numbers in (("gla-wide", 2048), ("mamba2-wide", 2048)):
        assert arms[family, "base"]["state_bytes"] == arms[family, "lpt"]["state_bytes"] == 4 * 4 * numbers
        assert arms[family, "reinitialize"]["state_bytes"] == 4 * 4 * 4 * numbers
