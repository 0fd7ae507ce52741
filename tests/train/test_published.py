"""Published checkpoints become runs that give what the published models give."""

from __future__ import annotations

import json

import pytest
import torch
import torch.nn.functional as F
from published_models import DIM, FRAMES, QUEUE, SIZES, refusal
from runs import CPU, invoke

from skelkit.errors import SkelkitError
from skelkit.skeleton import load_layout
from skelkit_train.checkpoint import load_latest
from skelkit_train.config import read_toml, resolve
from skelkit_train.encoders import ENCODERS
from skelkit_train.pretrain import pretrain
from skelkit_train.published import import_checkpoint


def embedding(name, state, prefix, views):
    """What the published encoder of that prefix gives, of unit length."""
    own = {n.removeprefix(prefix): value for n, value in state.items() if n.startswith(prefix)}
    head = {n: own.pop(n) for n in list(own) if n.startswith("fc.")}
    encoder = ENCODERS[name](layout=load_layout("ntu25"), bodies=2, frames=FRAMES, **SIZES[name]).eval()
    encoder.load_state_dict(encoder.from_published(own))
    features = encoder(views)
    if "fc.weight" in head:
        return F.normalize(F.linear(features, head["fc.weight"], head["fc.bias"]), dim=1)
    hidden = F.relu(F.linear(features, head["fc.0.weight"], head["fc.0.bias"]))
    return F.normalize(F.linear(hidden, head["fc.2.weight"], head["fc.2.bias"]), dim=1)


def some_views():
    return torch.randn(3, FRAMES, 2, 25, 3, generator=torch.Generator().manual_seed(0))


@pytest.mark.parametrize("head", ["mlp", "linear"])
@pytest.mark.parametrize(
    "representations", ["seq", "graph", "image", "seq+graph", "seq+image", "graph+image"]
)
def test_run_gives_the_embeddings_and_has_the_queues_of_the_published_model(
    representations, head, published_state, published, tmp_path
):
    run = tmp_path / "run"
    found = import_checkpoint(published(representations, head=head), run, representations=representations)

    state = published_state(representations, head=head)
    names = representations.split("+")
    parts = {names[0]: ("encoder_q.", "encoder_k.", "Queue_S1" if len(names) == 2 else "queue")}
    if len(names) == 2:
        parts[names[1]] = ("encoder_r.", "encoder_l.", "Queue_S2")
    model = load_latest(run).restore_model(CPU).eval()
    views = some_views()
    for name, (query, key, queue) in parts.items():
        wanted = [embedding(name, state, prefix, views) for prefix in (query, key)]
        assert not torch.allclose(*wanted)
        torch.testing.assert_close(model.query[name](views), wanted[0], rtol=1e-4, atol=1e-5)
        torch.testing.assert_close(model.key[name](views), wanted[1], rtol=1e-4, atol=1e-5)
        assert torch.equal(model.queues[name].keys, state[queue].T)
        assert int(model.queues[name].position) == 8
    assert found.absent == []


def test_sizes_are_those_of_the_weights_and_all_else_is_the_papers(published, tmp_path):
    found = import_checkpoint(published("seq+image"), tmp_path / "seq")
    assert found.epoch == 451
    sizes = {"gru_hidden": 8, "gru_layers": 2, "hcn_channels": 4, "frames": FRAMES, "bodies": 2}
    sizes |= {"representations": "seq+image", "embedding": DIM, "queue": QUEUE}
    assert found.config == resolve(sizes) == resolve(read_toml(tmp_path / "seq" / "config.toml"))

    found = import_checkpoint(published("graph"), tmp_path / "graph")
    assert (found.config.agcn_widths, found.config.frames) == ((8, 16), 64)


@pytest.mark.parametrize("joints", [("kinect20", 20), ("coco17", 17)])
def test_weights_of_another_layout_fit_when_it_is_named(joints, published, tmp_path):
    layout, count = joints
    path = published("seq+graph", joints=count)
    import_checkpoint(path, tmp_path / "run", layout=layout)
    assert load_latest(tmp_path / "run").data.layout == load_layout(layout).to_json()
    line = refusal(path, tmp_path / "other")
    shape = f"(24, {6 * count}), expected a multiple of 3 x 25 joints in axis 1"
    assert line == f"{path}: 'encoder_q.encoder.gru.weight_ih_l0' has shape {shape}"
    assert f"conv3.0.weight' has shape (2, {count}, 3, 3), expected (2, 25, 3, 3)" in refusal(
        published("image", joints=count), tmp_path / "other"
    )


def test_order_of_the_representations_is_the_files(published, tmp_path):
    found = import_checkpoint(published("seq+graph"), tmp_path / "run", representations="graph+seq")
    assert found.config.representations == "seq+graph"


@pytest.mark.parametrize("zipped", [True, False])
@pytest.mark.parametrize("prefix", ["", "module."])
def test_bare_state_dict_in_both_of_torchs_formats(zipped, prefix, published_state, published, tmp_path):
    state = {f"{prefix}{name}": value for name, value in published_state("seq+graph").items()}
    bare = tmp_path / "bare.pth"
    torch.save(state, bare, _use_new_zipfile_serialization=zipped)
    found = import_checkpoint(bare, tmp_path / "bare")
    import_checkpoint(published("seq+graph"), tmp_path / "whole")
    assert found.epoch == 0
    whole, bare = (load_latest(tmp_path / name).model for name in ("whole", "bare"))
    torch.testing.assert_close(bare, whole, rtol=0, atol=0)


def test_what_evaluation_does_not_need_may_be_absent(published_state, published, tmp_path):
    def strip(state):
        for name in list(state):
            if ".fc." in name or "ueue" in name or name.startswith("encoder_k."):
                del state[name]

    run = tmp_path / "run"
    found = import_checkpoint(published("seq", change=strip), run)

    assert found.absent == ["head of seq", "key encoder of seq", "queue of seq"]
    assert (found.config.embedding, found.config.queue) == (128, 16384)
    model = load_latest(run).restore_model(CPU)
    own = {n.removeprefix("encoder_q."): v for n, v in published_state("seq").items()}
    own = {n: v for n, v in own.items() if n.startswith("encoder.gru.")}
    for branches in (model.query, model.key):
        wanted = branches["seq"].encoder.from_published(own)
        torch.testing.assert_close(dict(branches["seq"].encoder.state_dict()), wanted, rtol=0, atol=0)


# The run


def evaluate(run, store):
    return invoke("eval", "retrieval", run, store, "--protocol", "xsub", "--device", "cpu", "--json")


def test_run_is_evaluated_on_any_store_of_its_layout_and_recipe_and_on_no_other(
    published, make_store, ntu, kinect, tmp_path
):
    run, raw = tmp_path / "run", tmp_path / "raw"
    import_checkpoint(published("seq+graph"), run)
    import_checkpoint(published("seq+graph"), raw, recipe="raw")
    stores = [make_store(tmp_path / f"{n}.h5", recipe="isc", classes=n) for n in (3, 4)]
    for imported, store in [(run, stores[0]), (run, stores[1]), (raw, ntu)]:
        result = evaluate(imported, store)
        assert result.exit_code == 0, result.output
        assert json.loads(result.stdout)["epoch"] == 451
    for store, message in {
        ntu: "its recipe is raw, the run was trained on isc",
        kinect: "its joint layout is kinect20, the run was trained on ntu25",
    }.items():
        result = evaluate(run, store)
        assert result.exit_code == 1
        assert f"{store}: {message}" in result.stderr


def test_training_does_not_go_on_from_published_weights(published, make_store, tmp_path):
    run = tmp_path / "run"
    config = import_checkpoint(published("seq"), run).config
    store = make_store(tmp_path / "isc.h5", recipe="isc")
    before = sorted(path.name for path in run.iterdir())
    with pytest.raises(SkelkitError, match="run: ") as caught:
        pretrain(store, run, config, device=CPU, resume=True, progress=False)
    assert "\n" not in str(caught.value)
    assert sorted(path.name for path in run.iterdir()) == before


# The command


def test_command_says_what_it_imported(published, tmp_path):
    run = tmp_path / "run"
    given = ["import-checkpoint", published("seq+graph"), "--representations", "seq+graph"]
    result = invoke(*given, "-o", run)
    assert result.exit_code == 0, result.output
    said = "seq+graph after 451 epochs, for stores of layout ntu25 and recipe isc"
    assert result.stdout == f"{run}: {said}\n"
    assert result.stderr == ""
    result = invoke(*given, "-o", tmp_path / "again", "--json")
    assert json.loads(result.stdout) == {
        "run": str(tmp_path / "again"),
        "representations": "seq+graph",
        "bodies": 2,
        "epoch": 451,
        "absent": [],
    }


def test_command_says_what_the_file_lacks(published, tmp_path):
    path = published("seq", change=lambda state: [state.pop(name) for name in ("queue", "queue_ptr")])
    result = invoke("import-checkpoint", path, "-o", tmp_path / "run")
    assert result.stdout.splitlines()[1] == "  not in the file, and not needed by evaluation: queue of seq"


def test_command_fails_in_one_line(tmp_path):
    result = invoke("import-checkpoint", tmp_path / "none.pth.tar", "-o", tmp_path / "run")
    assert result.exit_code == 1
    assert result.stdout == ""
    assert result.stderr == f"Error: {tmp_path / 'none.pth.tar'}: cannot be read: No such file or directory\n"
    assert invoke("import-checkpoint", tmp_path / "none.pth.tar").exit_code == 2
