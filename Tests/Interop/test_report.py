"""The page of `statex report`: well-formed, self-contained, and readable by other programs."""

import json
import os
import pathlib
import re
import subprocess
import xml.etree.ElementTree as ElementTree

import pytest

SVG = "{http://www.w3.org/2000/svg}"


@pytest.fixture(scope="module")
def page(tmp_path_factory) -> pathlib.Path:
    binaries = os.environ.get("STATEX_BIN")
    if not binaries:
        pytest.skip("STATEX_BIN is not set")
    statex = str(pathlib.Path(binaries).resolve() / "statex")
    folder = tmp_path_factory.mktemp("report")
    score = {"accuracy": 0.5, "stderr": 0.1, "samples": 9}
    depths = {"lengths": {"64": {**score, "depths": {"0.1": score, "1.0": score}}}}
    for name in ["a & b", "c <script>"]:
        run = folder / name
        run.mkdir()
        rows = [
            {"step": s, "loss": 5 / s, "grad_norm": 1 / s, "tokens": 64 * s, "tokens_per_second": 9.0, "seconds": 1}
            for s in range(1, 1001)
        ]
        rows[500]["loss"] = None
        (run / "metrics.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
        tasks = {"mqar_4": score, "mqar_8": score, "passkey": {**score, **depths}, "odd \"<name>": score}
        evaluations = [{"step": s, "tasks": tasks} for s in (10, 20)]
        (run / "evaluation.jsonl").write_text("".join(json.dumps(row) + "\n" for row in evaluations))
    subprocess.run(
        [statex, "report", "a & b", "c <script>", "--figures", "figures"], cwd=folder, check=True)
    return folder


def test_the_page_is_well_formed_and_needs_nothing_else(page):
    text = (page / "report.html").read_text()
    root = ElementTree.fromstring(text)
    names = [element.get("id") for element in root.iter() if element.get("id")]
    assert len(names) == len(set(names)) > 8
    links = [element.get("href") for element in root.iter("a")]
    assert links and all(link[1:] in names for link in links)
    assert not list(root.iter("script")) and not list(root.iter("link")) and not list(root.iter("img"))
    text = text.replace('xmlns="http://www.w3.org/2000/svg"', "")
    assert not re.search(r"https?:|url\(|@import|src=", text)


def test_no_drawing_leaves_its_frame(page):
    root = ElementTree.fromstring((page / "report.html").read_text())
    drawings = list(root.iter(SVG + "svg"))
    assert len(drawings) >= 8
    for drawing in drawings:
        _, _, width, height = map(float, drawing.get("viewBox").split())
        for text in drawing.iter(SVG + "text"):
            assert 0 <= float(text.get("x")) <= width and 0 < float(text.get("y")) <= height
        for path in drawing.iter(SVG + "path"):
            assert "nan" not in path.get("d") and "inf" not in path.get("d")
        assert drawing.get("aria-label") and drawing.find(SVG + "title") is not None


def test_every_figure_is_a_drawing_of_its_own(page):
    root = ElementTree.fromstring((page / "report.html").read_text())
    names = {element.get("id") for element in root.iter("figure")}
    files = {path.stem for path in (page / "figures").glob("*.svg")}
    assert names == files
    for path in (page / "figures").glob("*.svg"):
        drawing = ElementTree.parse(path).getroot()
        assert drawing.tag == SVG + "svg" and drawing.find(SVG + "style") is not None
