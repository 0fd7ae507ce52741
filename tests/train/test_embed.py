"""Features leave the run with their names; a raw file goes the way of a store; ONNX computes the same."""

from __future__ import annotations

import json
from importlib.util import find_spec

import h5py
import numpy as np
import pytest
import torch
from runs import fails, invoke

from skelkit.conversion import convert
from skelkit.errors import InputError, SkelkitError
from skelkit.store import Store
from skelkit.synthetic import synthesise
from skelkit_train.checkpoint import load_latest
from skelkit_train.data import Sequences
from skelkit_train.embed import embed
from skelkit_train.evaluate.features import Features
from skelkit_train.pretrain import pretrain

CPU = torch.device("cpu")
needs_onnx = pytest.mark.skipif(
    any(find_spec(name) is None for name in ("onnx", "onnxscript", "onnxruntime")),
    reason='needs onnx, onnxscript and onnxruntime: pip install "skelkit[onnx]"',
)


@pytest.mark.parametrize("suffix", ["h5", "npz"])
def test_features_of_a_store_are_written_with_names_and_labels(suffix, run, ntu, tmp_path):
    out = tmp_path / f"features.{suffix}"
    result = invoke("embed", run, ntu, "-o", out, "--device", "cpu", "--json")
    assert result.exit_code == 0, result.output
    facts = {"out": str(out), "sequences": 32, "features": {"seq": 16, "graph": 16}}
    assert json.loads(result.stdout) == facts
    if suffix == "h5":
        with h5py.File(out) as file:
            arrays = {name: values[...] for name, values in file.items()}
            assert file.attrs["epoch"] == "3"
        names = [name.decode() for name in arrays["name"]]
    else:
        with np.load(out) as file:
            arrays = dict(file)
        assert json.loads(str(arrays["facts"]))["epoch"] == "3"
        names = arrays["name"].tolist()
    with Store(ntu) as store:
        assert names == store.names
        assert np.array_equal(arrays["label"], store.label)
        data = Sequences.load(store, 2, CPU)
    model = load_latest(run).restore_model(CPU)
    for name in ("seq", "graph"):
        wanted = Features(data, model.encoder(name), 16, 0).centre(np.arange(32))
        assert np.array_equal(arrays[name], wanted)


def test_one_representation_is_enough(run, ntu, tmp_path):
    result = invoke(
        "embed", run, ntu, "--representation", "graph", "-o", tmp_path / "f.npz", "--device", "cpu"
    )
    assert result.stdout == f"{tmp_path / 'f.npz'}: 32 sequences, features: 16 of graph\n"
    with np.load(tmp_path / "f.npz") as file:
        assert set(file) == {"name", "label", "graph", "facts"}


@pytest.fixture(scope="module")
def raw(tmp_path_factory, tiny):
    """Raw files, the store made of them, and a run on it."""
    folder = tmp_path_factory.mktemp("raw")
    synthesise(folder / "files", dataset="ntu60", classes=2, subjects=2, repeats=1, seed=0)
    convert([folder / "files"], folder / "ntu.h5", dataset="ntu60", recipe="isc", workers=1)
    config = tiny(representations="seq")
    pretrain(folder / "ntu.h5", folder / "run", config, device=CPU, progress=False)
    return folder


def test_a_store_is_never_replaced_by_features(run, ntu, tmp_path, monkeypatch):
    copy = tmp_path / "copy.h5"
    copy.write_bytes(ntu.read_bytes())
    with monkeypatch.context() as patch:  # it is refused before any feature is computed
        patch.setattr("skelkit_train.embed.Features", None)
        for data in (copy, ntu):
            assert "copy.h5: is a store, which would be lost" in fails("embed", run, data, "-o", copy)
        away = tmp_path / "away" / "f.h5"
        assert "away does not exist" in fails("embed", run, ntu, "-o", away)
    assert copy.read_bytes() == ntu.read_bytes()
    assert "must end in .html" in fails("report", run, copy, "-o", copy, code=2)
    again = ("embed", run, ntu, "-o", tmp_path / "features.h5")
    assert invoke(*again).exit_code == invoke(*again).exit_code == 0


def test_a_raw_file_has_the_features_that_it_has_in_the_store(raw):
    files = sorted((raw / "files").rglob("*.skeleton"))
    whole = embed(raw / "run", raw / "ntu.h5", device=CPU)
    for file in files[:3]:
        found = embed(raw / "run", file, device=CPU)
        place = whole.name.index(file.stem)
        assert found.name == [file.stem]
        assert found.label.tolist() == [whole.label[place]]
        assert np.allclose(found.features["seq"][0], whole.features["seq"][place], atol=1e-5)
    assert len(whole.name) > 3
    assert np.ptp(whole.features["seq"], axis=0).max() > 1e-3


def test_a_damaged_raw_file_is_one_line_with_its_line(raw, tmp_path):
    text = next((raw / "files").rglob("*.skeleton")).read_text().splitlines()
    file = tmp_path / "S001C001P001R001A001.skeleton"
    file.write_text("\n".join([text[0], "many", *text[2:]]))
    with pytest.raises(InputError, match=r"S001C001P001R001A001\.skeleton, line 2: "):
        embed(raw / "run", file, device=CPU)
    line = fails("embed", raw / "run", file, "-o", tmp_path / "f.npz", "--device", "cpu")
    assert "line 2" in line


def test_what_does_not_fit_is_one_line(run, raw, ntu, kinect, tiny, tmp_path):
    out = tmp_path / "f.npz"
    assert "must end in .h5 or .npz" in fails("embed", run, ntu, "-o", tmp_path / "f.csv", code=2)
    assert "does not exist" in fails("embed", run, ntu, "-o", tmp_path / "no" / "f.h5")
    assert "has seq, graph, not image" in fails("embed", run, ntu, "--representation", "image", "-o", out)
    assert "joint layout is kinect20" in fails("embed", run, kinect, "-o", out)
    assert "no such file" in fails("embed", run, tmp_path / "S001C001P001R001A001.skeleton", "-o", out)
    file = next((raw / "files").rglob("*.skeleton"))
    pretrain(kinect, tmp_path / "kinect", tiny(), device=CPU, progress=False)
    assert "joint layout is ntu25, the run was trained on kinect20" in fails(
        "embed", tmp_path / "kinect", file, "-o", out
    )
    assert not out.exists()


# ONNX


@pytest.mark.parametrize("package", ["onnx", "onnxruntime"])
def test_without_the_packages_it_says_what_to_install(package, run, tmp_path, monkeypatch):
    monkeypatch.setattr(
        "skelkit_train.export.find_spec", lambda name: None if name == package else find_spec("json")
    )
    line = fails("export", run, "--representation", "seq", "-o", tmp_path / "e.onnx")
    assert line == f'Error: {package} is not installed; pip install "skelkit[onnx]"'


@needs_onnx
@pytest.mark.parametrize("representation", ["seq", "graph", "seq+graph"])
def test_onnxruntime_computes_the_same_for_any_batch(representation, run, tmp_path):
    import onnxruntime

    out = tmp_path / "encoder.onnx"
    result = invoke("export", run, "--representation", representation, "-o", out, "--json")
    assert result.exit_code == 0, result.output
    found = json.loads(result.stdout)
    assert found["views"] == [16, 2, 25, 3]
    assert found["difference"] < 1e-4
    session = onnxruntime.InferenceSession(str(out))
    model = load_latest(run).restore_model(CPU).eval()
    for count in (1, 2, 7):
        views = torch.randn(count, 16, 2, 25, 3)
        (features,) = session.run(["features"], {"views": views.numpy()})
        with torch.inference_mode():
            wanted = torch.cat([model.encoder(n)(views) for n in representation.split("+")], dim=1)
        assert np.allclose(features, wanted, atol=1e-4)


@needs_onnx
def test_an_export_that_differs_is_not_written(run, tmp_path, monkeypatch):
    monkeypatch.setattr("skelkit_train.export._compare", lambda *_: (16, 0.5))
    line = fails("export", run, "--representation", "seq", "-o", tmp_path / "e.onnx")
    assert "not written: onnxruntime's features differ from torch's by 5.0e-01" in line
    assert list(tmp_path.iterdir()) == []


def test_which_encoder_to_export_must_be_clear(run, tmp_path, monkeypatch):
    monkeypatch.setattr("skelkit_train.export.find_spec", lambda _: find_spec("json"))
    assert "has seq, graph; --representation says which" in fails("export", run, "-o", tmp_path / "e.onnx")
    assert "must end in .onnx" in fails("export", run, "-o", tmp_path / "e.pt", code=2)
    with pytest.raises(SkelkitError, match="is it a run"):
        embed(tmp_path, tmp_path, device=CPU)
