"""`pytorch_model.bin`: what torch.save writes is the same model, and what is no state dictionary is refused."""

import importlib.util
import json
import os
import shutil
import subprocess
import zipfile
from pathlib import Path

import pytest
import torch
from transformers.utils import CONFIG_NAME, WEIGHTS_NAME
from transformers.utils.hub import cached_file

import make_mamba2_fixtures
import make_torch_fixtures
from conftest import GLA_FIXTURES, MAMBA2_FIXTURES, TESTS
from reference_common import load_tensors

OFFICIAL = MAMBA2_FIXTURES / "dialects" / "mamba_ssm"
PLAIN = GLA_FIXTURES / "plain"


@pytest.fixture
def checkpoint(tmp_path):
    """Writes config.json of a fixture and an object as pytorch_model.bin."""
    def write(fixture, value, **options):
        directory = tmp_path / "model"
        directory.mkdir(exist_ok=True)
        shutil.copy(fixture / "config.json", directory)
        torch.save(value, directory / "pytorch_model.bin", **options)
        return directory

    return write


@pytest.fixture
def refused(program, tmp_path):
    """Expects that a model is refused as bad data with one line, and that nothing is written; returns the line."""
    def run(directory):
        done = subprocess.run([program, "convert", "--model", directory, "--output", tmp_path / "x"],
                              capture_output=True, text=True, cwd=tmp_path)
        assert done.returncode == 65 and done.stderr.count("\n") == 1, done.stderr
        assert not (tmp_path / "x").exists()
        return done.stderr

    return run


def state_dict(fixture, dtype=None):
    """The tensors as a module's `state_dict` has them: an OrderedDict with metadata; the tied head shares memory."""
    tensors = {name: torch.nn.Parameter(t.to(dtype or t.dtype)) for name, t in load_tensors(fixture).items()}
    if fixture == OFFICIAL:
        tensors["lm_head.weight"] = tensors["backbone.embedding.weight"]
    module = torch.nn.Module()
    for name, tensor in tensors.items():
        parent = module
        *path, last = name.split(".")
        for part in path:
            if part not in dict(parent.named_children()):
                parent.add_module(part, torch.nn.Module())
            parent = parent.get_submodule(part)
        parent.register_parameter(last, tensor)
    return module.state_dict()


def assert_same(found, expected):
    assert found.keys() == expected.keys()
    for name, tensor in expected.items():
        assert found[name].dtype == tensor.dtype and torch.equal(found[name], tensor), name


@pytest.mark.parametrize("dtype", [None, torch.bfloat16, torch.float16])
@pytest.mark.parametrize("fixture", [OFFICIAL, PLAIN], ids=["mamba2", "gla"])
def test_state_dictionaries_are_read(fixture, dtype, checkpoint, command, tmp_path):
    state = state_dict(fixture, dtype)
    expected = {name.replace("embedding.", "embeddings.") if fixture == OFFICIAL else name: tensor
                for name, tensor in state.items() if fixture != OFFICIAL or name != "lm_head.weight"}
    for value in (state, dict(state), {name: torch.nn.Parameter(t) for name, t in state.items()}):
        command("statex", "convert", "--model", checkpoint(fixture, value), "--output", tmp_path / "x")
        assert_same(load_tensors(tmp_path / "x"), expected)


def test_shards_are_read(checkpoint, command, refused, tmp_path):
    tensors = load_tensors(PLAIN)
    directory = checkpoint(PLAIN, {})
    (directory / "pytorch_model.bin").unlink()
    weight_map = {}
    for index, part in enumerate((list(tensors)[:9], list(tensors)[9:])):
        # Views into one larger storage, each at an offset.
        flat = torch.cat([torch.zeros(3), *(tensors[name].flatten() for name in part)])
        views, start = {}, 3
        for name in part:
            views[name] = flat[start:start + tensors[name].numel()].view(tensors[name].shape)
            start += tensors[name].numel()
        file = f"pytorch_model-0000{index + 1}-of-00002.bin"
        torch.save(views, directory / file)
        weight_map |= dict.fromkeys(part, file)
    index = directory / "pytorch_model.bin.index.json"
    index.write_text(json.dumps({"metadata": {"total_size": 0}, "weight_map": weight_map}))
    command("statex", "convert", "--model", directory, "--output", tmp_path / "good")
    assert_same(load_tensors(tmp_path / "good"), tensors)
    index.write_text(json.dumps({"weight_map": weight_map | {"other": "pytorch_model-00001-of-00002.bin"}}))
    assert "says that 'pytorch_model-00001-of-00002.bin' holds tensor 'other'" in refused(directory)


def test_round_trips_give_the_same_bits(command, tmp_path):
    """From safetensors to mamba_ssm's file and back, a second time too."""
    for source, target, options in ((OFFICIAL, "first", ["--to", "mamba_ssm"]), ("first", "back", []),
                                    ("back", "second", ["--to", "mamba_ssm"])):
        command("statex", "convert", "--model", tmp_path / source, "--output", tmp_path / target, *options)
    first, second = (torch.load(tmp_path / name / "pytorch_model.bin", weights_only=True)
                     for name in ("first", "second"))
    expected = load_tensors(OFFICIAL)
    assert_same(first, expected | {"lm_head.weight": expected["backbone.embedding.weight"]})
    assert first["lm_head.weight"].data_ptr() == first["backbone.embedding.weight"].data_ptr()
    assert_same(second, first)
    assert (tmp_path / "first/pytorch_model.bin").read_bytes() == (tmp_path / "second/pytorch_model.bin").read_bytes()
    with zipfile.ZipFile(tmp_path / "first" / "pytorch_model.bin") as archive:
        assert archive.testzip() is None  # every checksum is right
    assert not list((tmp_path / "first").glob("*.safetensors*"))
    # What an export replaces does not stay behind.
    command("statex", "convert", "--model", tmp_path / "back", "--output", tmp_path / "first")
    assert not list((tmp_path / "first").glob("*.bin"))


class StandIn:
    """The calls with which mamba_ssm 2.2 reads a directory (`mamba_ssm/utils/hf.py`), where it is not installed."""

    @staticmethod
    def load_config_hf(name):
        return json.loads(Path(cached_file(name, CONFIG_NAME)).read_text())

    @staticmethod
    def load_state_dict_hf(name, device=None):
        return torch.load(cached_file(name, WEIGHTS_NAME), map_location=device)


def mamba_ssm_loader():
    """mamba_ssm's own loader, which needs no GPU when it is taken without the rest of the package; else a stand-in."""
    package = importlib.util.find_spec("mamba_ssm")
    if package is None:
        return StandIn
    path = Path(package.submodule_search_locations[0]) / "utils" / "hf.py"
    spec = importlib.util.spec_from_file_location("mamba_ssm_hf", path)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def test_mamba_ssm_opens_what_is_written_for_it(command, tmp_path):
    command("statex", "convert", "--model", MAMBA2_FIXTURES / "dialects" / "transformers", "--output",
            tmp_path / "x", "--to", "mamba_ssm", "--dtype", "float16")
    loader = mamba_ssm_loader()
    config = loader.load_config_hf(str(tmp_path / "x"))
    assert config.keys() == make_mamba2_fixtures.OFFICIAL_CONFIG.keys()
    state = loader.load_state_dict_hf(str(tmp_path / "x"), device="cpu")
    expected = load_tensors(OFFICIAL)
    expected["lm_head.weight"] = expected["backbone.embedding.weight"]
    assert_same(state, expected)


class Harmful:
    """Unpickled, it makes a directory."""

    def __reduce__(self):
        return os.mkdir, ("harmed",)


@pytest.mark.parametrize("value, reason", [
    (lambda state: dict(state, extra=Harmful()), "it names 'posix.mkdir'; only dictionaries of tensors are read, and nothing is run"),
    (lambda state: torch.nn.Linear(2, 3), "it names 'torch.nn.modules.linear.Linear'"),
    (lambda state: {"model": state, "step": 3}, "'model' is not a tensor; save the model's state dictionary alone"),
    (lambda state: [1], "it has an instruction (93)"),
    (lambda state: dict(state, **{"lm_head.weight": state["lm_head.weight"].T.contiguous().T}),
     "tensor lm_head.weight: it is a view whose elements are not in order"),
    (lambda state: dict(state, **{"lm_head.weight": state["lm_head.weight"][:, ::2]}),
     "tensor lm_head.weight: it is a view whose elements are not in order"),
    (lambda state: dict(state, **{"lm_head.weight": state["lm_head.weight"][:1].expand(64, -1)}),
     "tensor lm_head.weight: it is a view whose elements are not in order"),
    (lambda state: dict(state, **{"lm_head.weight": state["lm_head.weight"].double()}),
     "tensor 'lm_head.weight' is of type F64; supported: F16, BF16, F32"),
    (lambda state: dict(state, **{"lm_head.weight": state["lm_head.weight"].to(torch.float8_e4m3fn)}),
     "it names 'torch._utils._rebuild_tensor_v3'"),
])
def test_what_is_no_state_dictionary_is_refused(value, reason, checkpoint, refused, tmp_path):
    assert reason in refused(checkpoint(PLAIN, value(load_tensors(PLAIN))))
    assert not (tmp_path / "harmed").exists()


def test_other_ways_of_saving_are_named(checkpoint, refused):
    tensors = load_tensors(PLAIN)
    directory = checkpoint(PLAIN, tensors, _use_new_zipfile_serialization=False)
    assert "this is the format of PyTorch before 1.6" in refused(directory)
    assert "it is of protocol 4; save it with torch.save's own, 2" in refused(
        checkpoint(PLAIN, tensors, pickle_protocol=4))
    path = checkpoint(PLAIN, tensors) / "pytorch_model.bin"
    with zipfile.ZipFile(path) as archive:
        entries = {name: archive.read(name) for name in archive.namelist()}
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, data in entries.items():
            archive.writestr(name, data)
    assert "data.pkl' is compressed or encrypted" in refused(directory)


def test_zip64_directories_of_others_are_read(checkpoint, command, tmp_path, monkeypatch):
    """Python's zipfile, told that everything is large."""
    tensors = load_tensors(PLAIN)
    path = checkpoint(PLAIN, tensors) / "pytorch_model.bin"
    with zipfile.ZipFile(path) as archive:
        entries = {name: archive.read(name) for name in archive.namelist()}
    monkeypatch.setattr(zipfile, "ZIP64_LIMIT", 0)
    with zipfile.ZipFile(path, "w") as archive:
        for name, data in entries.items():
            archive.writestr(name, data)
    assert b"PK\x06\x06" in path.read_bytes()
    command("statex", "convert", "--model", path.parent, "--output", tmp_path / "x")
    assert_same(load_tensors(tmp_path / "x"), tensors)


def test_the_fixture_is_what_its_script_makes():
    found = torch.load(TESTS / "Fixtures" / "torch" / "state.bin", weights_only=True)
    assert_same(found, make_torch_fixtures.state_dict())
    assert found["tied"].data_ptr() == found["a"].data_ptr()
    assert found["part"].data_ptr() == found["whole"].data_ptr() + 8
