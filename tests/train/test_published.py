"""Published checkpoints become runs that give what the published models give, or are refused in one line."""

from __future__ import annotations

import json
import os
import pickle

import pytest
import torch
import torch.nn.functional as F
from click.testing import CliRunner

from skelkit.errors import SkelkitError
from skelkit.skeleton import load_layout
from skelkit_train.checkpoint import load_latest
from skelkit_train.cli import main
from skelkit_train.config import read_toml, resolve
from skelkit_train.encoders import ENCODERS
from skelkit_train.pretrain import pretrain
from skelkit_train.published import import_checkpoint

CPU = torch.device("cpu")
SIZES = {"seq": {"hidden": 8, "layers": 2}, "graph": {"widths": (8, 16)}, "image": {"channels": 4}}
FEATURES = {"seq": 16, "graph": 16, "image": 16}
FRAMES, DIM, QUEUE = 16, 12, 24


def gru_lines(joints=25):
    for layer, size in enumerate((2 * joints * 3, 16)):
        for direction in ("", "_reverse"):
            yield f"encoder.gru.weight_ih_l{layer}{direction} (24, {size})"
            yield f"encoder.gru.weight_hh_l{layer}{direction} (24, 8)"
            yield f"encoder.gru.bias_ih_l{layer}{direction} (24,)"
            yield f"encoder.gru.bias_hh_l{layer}{direction} (24,)"


def norm_lines(name, size):
    for kind in ("weight", "bias", "running_mean", "running_var"):
        yield f"{name}.{kind} ({size},)"
    yield f"{name}.num_batches_tracked ()"


def convolution_lines(name, after, before, kernel=1):
    return [f"{name}.weight ({after}, {before}, {kernel}, 1)", f"{name}.bias ({after},)"]


def agcn_lines(joints=25):
    yield from norm_lines("data_bn", 2 * joints * 3)
    for block, (before, after) in {"l1": (3, 8), "l2": (8, 16)}.items():
        yield f"{block}.gcn1.PA (3, {joints}, {joints})"
        for s in range(3):
            yield from convolution_lines(f"{block}.gcn1.conv_a.{s}", after // 4, before)
            yield from convolution_lines(f"{block}.gcn1.conv_b.{s}", after // 4, before)
            yield from convolution_lines(f"{block}.gcn1.conv_d.{s}", after, before)
        yield from norm_lines(f"{block}.gcn1.bn", after)
        yield from convolution_lines(f"{block}.gcn1.down.0", after, before)
        yield from norm_lines(f"{block}.gcn1.down.1", after)
        yield from convolution_lines(f"{block}.tcn1.conv", after, after, 9)
        yield from norm_lines(f"{block}.tcn1.bn", after)
    yield from convolution_lines("l2.residual.conv", 16, 8)
    yield from norm_lines("l2.residual.bn", 16)


def hcn_lines(joints=25):
    for stream in ("", "m"):
        yield from convolution_lines(f"conv1{stream}.0", 4, 3)
        yield from convolution_lines(f"conv2{stream}", FRAMES, 4, 3)
        yield from [f"conv3{stream}.0.weight (2, {joints}, 3, 3)", f"conv3{stream}.0.bias (2,)"]
        yield from [f"conv4{stream}.0.weight (4, 2, 3, 3)", f"conv4{stream}.0.bias (4,)"]
    yield from ["conv5.0.weight (8, 8, 3, 3)", "conv5.0.bias (8,)"]
    yield from ["conv6.0.weight (16, 8, 3, 3)", "conv6.0.bias (16,)"]


LINES = {"seq": gru_lines, "graph": agcn_lines, "image": hcn_lines}


def head_lines(features, head):
    if head == "mlp":
        yield from [f"fc.0.weight ({features}, {features})", f"fc.0.bias ({features},)"]
        yield from [f"fc.2.weight ({DIM}, {features})", f"fc.2.bias ({DIM},)"]
    elif head == "linear":
        yield from [f"fc.weight ({DIM}, {features})", f"fc.bias ({DIM},)"]


@pytest.fixture
def state_dict(formula_weights):
    """Makes a state dict of the published code in small sizes, without ``module.``."""

    def make(representations, head="mlp", joints=25):
        names = representations.split("+")
        prefixes = [("encoder_q", "encoder_k"), ("encoder_r", "encoder_l")]
        ends = ["_S1", "_S2"] if len(names) == 2 else [""]
        lines = []
        for name, pair, end in zip(names, prefixes, ends, strict=False):
            own = [*LINES[name](joints), *head_lines(FEATURES[name], head)]
            lines += [f"{prefix}.{line}" for prefix in pair for line in own]
            queue = f"Queue{end}" if end else "queue"
            lines += [f"{queue} ({DIM}, {QUEUE})", f"queue_ptr{end} (1,)"]
        state = formula_weights(lines)
        for end in ends:
            queue = f"Queue{end}" if end else "queue"
            state[queue] = F.normalize(state[queue], dim=0)
            state[f"queue_ptr{end}"] += 8
        return state

    return make


@pytest.fixture
def file(state_dict, tmp_path):
    """Writes a checkpoint as the published code does."""

    def write(representations="seq+graph", *, change=None, **options):
        state = state_dict(representations, **options)
        if change:
            change(state)
        content = {
            "epoch": 451,
            "state_dict": {f"module.{name}": value for name, value in state.items()},
            "optimizer": {"state": {0: {"momentum_buffer": torch.zeros(3)}}, "param_groups": [{"lr": 1e-3}]},
        }
        path = tmp_path / "checkpoint_0450.pth.tar"
        torch.save(content, path)
        return path

    return write


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
    representations, head, state_dict, file, tmp_path
):
    run = tmp_path / "run"
    found = import_checkpoint(file(representations, head=head), run, representations=representations)

    state = state_dict(representations, head=head)
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


def test_sizes_are_those_of_the_weights_and_all_else_is_the_papers(file, tmp_path):
    found = import_checkpoint(file("seq+image"), tmp_path / "seq")
    assert found.epoch == 451
    sizes = {"gru_hidden": 8, "gru_layers": 2, "hcn_channels": 4, "frames": FRAMES, "bodies": 2}
    sizes |= {"representations": "seq+image", "embedding": DIM, "queue": QUEUE}
    assert found.config == resolve(sizes) == resolve(read_toml(tmp_path / "seq" / "config.toml"))

    found = import_checkpoint(file("graph"), tmp_path / "graph")
    assert (found.config.agcn_widths, found.config.frames) == ((8, 16), 64)


@pytest.mark.parametrize("joints", [("kinect20", 20), ("coco17", 17)])
def test_weights_of_another_layout_fit_when_it_is_named(joints, file, tmp_path):
    layout, count = joints
    path = file("seq+graph", joints=count)
    import_checkpoint(path, tmp_path / "run", layout=layout)
    assert load_latest(tmp_path / "run").data.layout == load_layout(layout).to_json()
    line = refusal(path, tmp_path / "other")
    shape = f"(24, {6 * count}), expected a multiple of 3 x 25 joints in axis 1"
    assert line == f"{path}: 'encoder_q.encoder.gru.weight_ih_l0' has shape {shape}"
    assert f"conv3.0.weight' has shape (2, {count}, 3, 3), expected (2, 25, 3, 3)" in refusal(
        file("image", joints=count), tmp_path / "other"
    )


def test_order_of_the_representations_is_the_files(file, tmp_path):
    found = import_checkpoint(file("seq+graph"), tmp_path / "run", representations="graph+seq")
    assert found.config.representations == "seq+graph"


@pytest.mark.parametrize("zipped", [True, False])
@pytest.mark.parametrize("prefix", ["", "module."])
def test_bare_state_dict_in_both_of_torchs_formats(zipped, prefix, state_dict, file, tmp_path):
    state = {f"{prefix}{name}": value for name, value in state_dict("seq+graph").items()}
    bare = tmp_path / "bare.pth"
    torch.save(state, bare, _use_new_zipfile_serialization=zipped)
    found = import_checkpoint(bare, tmp_path / "bare")
    import_checkpoint(file("seq+graph"), tmp_path / "whole")
    assert found.epoch == 0
    whole, bare = (load_latest(tmp_path / name).model for name in ("whole", "bare"))
    torch.testing.assert_close(bare, whole, rtol=0, atol=0)


def test_what_evaluation_does_not_need_may_be_absent(state_dict, file, tmp_path):
    def strip(state):
        for name in list(state):
            if ".fc." in name or "ueue" in name or name.startswith("encoder_k."):
                del state[name]

    run = tmp_path / "run"
    found = import_checkpoint(file("seq", change=strip), run)

    assert found.absent == ["head of seq", "key encoder of seq", "queue of seq"]
    assert (found.config.embedding, found.config.queue) == (128, 16384)
    model = load_latest(run).restore_model(CPU)
    own = {n.removeprefix("encoder_q."): v for n, v in state_dict("seq").items()}
    own = {n: v for n, v in own.items() if n.startswith("encoder.gru.")}
    for branches in (model.query, model.key):
        wanted = branches["seq"].encoder.from_published(own)
        torch.testing.assert_close(dict(branches["seq"].encoder.state_dict()), wanted, rtol=0, atol=0)


# The run


def invoke(*arguments):
    return CliRunner().invoke(main, [str(argument) for argument in arguments], prog_name="skelkit-train")


def evaluate(run, store):
    return invoke("eval", "retrieval", run, store, "--protocol", "xsub", "--device", "cpu", "--json")


def test_run_is_evaluated_on_any_store_of_its_layout_and_recipe_and_on_no_other(
    file, make_store, ntu, kinect, tmp_path
):
    run, raw = tmp_path / "run", tmp_path / "raw"
    import_checkpoint(file("seq+graph"), run)
    import_checkpoint(file("seq+graph"), raw, recipe="raw")
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


def test_training_does_not_go_on_from_published_weights(file, make_store, tmp_path):
    run = tmp_path / "run"
    config = import_checkpoint(file("seq"), run).config
    store = make_store(tmp_path / "isc.h5", recipe="isc")
    before = sorted(path.name for path in run.iterdir())
    with pytest.raises(SkelkitError, match="run: ") as caught:
        pretrain(store, run, config, device=CPU, resume=True, progress=False)
    assert "\n" not in str(caught.value)
    assert sorted(path.name for path in run.iterdir()) == before


# What is refused


class Trap:
    """Makes a folder when it is unpickled."""

    def __init__(self, path):
        self.path = path

    def __reduce__(self):
        return os.mkdir, (str(self.path),)


def refusal(path, run, **options):
    """The one line of an import that fails and leaves nothing."""
    with pytest.raises(SkelkitError) as caught:
        import_checkpoint(path, run, **options)
    assert "\n" not in str(caught.value)
    assert not run.exists()
    return str(caught.value)


@pytest.mark.parametrize("zipped", [True, False])
def test_code_in_a_checkpoint_is_named_and_not_executed(zipped, state_dict, tmp_path):
    sprung, path = tmp_path / "sprung", tmp_path / "trap.pth.tar"
    content = {"state_dict": state_dict("seq"), "trap": Trap(sprung)}
    torch.save(content, path, _use_new_zipfile_serialization=zipped)
    assert refusal(path, tmp_path / "run").startswith(f"{path}: not loaded: it has posix.mkdir in it")
    assert not sprung.exists()
    torch.load(path, weights_only=False)
    assert sprung.exists()


@pytest.mark.parametrize("zipped", [True, False])
def test_damaged_checkpoint_is_named(zipped, state_dict, tmp_path):
    path = tmp_path / "checkpoint.pth.tar"
    torch.save(state_dict("seq"), path, _use_new_zipfile_serialization=zipped)
    whole = path.read_bytes()
    for size in (0, 1, 100, len(whole) // 2, len(whole) - 1):
        path.write_bytes(whole[:size])
        assert refusal(path, tmp_path / "run") == f"{path}: damaged, or not written by torch.save"


def test_what_is_no_checkpoint_is_named(tmp_path):
    path, run = tmp_path / "file", tmp_path / "run"
    assert refusal(path, run) == f"{path}: cannot be read: No such file or directory"
    assert refusal(tmp_path, run) == f"{tmp_path}: cannot be read: Is a directory"
    path.write_text("not a checkpoint\n")
    assert refusal(path, run) == f"{path}: damaged, or not written by torch.save"
    path.write_bytes(pickle.dumps({"state_dict": {}}, protocol=4))
    assert refusal(path, run) == f"{path}: damaged, or not written by torch.save"
    for content, message in {
        "a list": ([torch.zeros(1)], "holds list, expected a state dict"),
        "a tensor": (torch.zeros(1), "holds Tensor, expected a state dict"),
        "nothing": ({"state_dict": {}}, "holds dict, expected a state dict"),
        "a run's": ({"model": {}, "epoch": 3}, "entry 'model' is no dense tensor"),
        "sparse": ({"x": torch.zeros(2, 2).to_sparse()}, "entry 'x' is no dense tensor"),
        "complex": ({"x": torch.zeros(2, dtype=torch.complex64)}, "entry 'x' has values that are no finite"),
        "another model": (
            {"state_dict": {"layer1.0.conv1.weight": torch.zeros(1)}},
            "no model of the published code: has none of the entries encoder_q.encoder.gru",
        ),
    }.values():
        torch.save(content, path)
        assert message in refusal(path, run)


def set_to(name, value):
    return lambda state: state.update({name: value})


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (
            set_to("encoder_k.encoder.gru.weight_hh_l1", torch.zeros(24, 9)),
            "'encoder_k.encoder.gru.weight_hh_l1' has shape (24, 9), expected (24, 8)",
        ),
        (
            set_to("encoder_q.encoder.gru.weight_hh_l0", torch.zeros(24)),
            "'encoder_q.encoder.gru.weight_hh_l0' has shape (24,), expected at least 2 axes",
        ),
        (set_to("encoder_q.encoder.gru.weight_hh_l0", torch.zeros(24, 0)), "gru_hidden is 0, expected 1"),
        (
            set_to("encoder_r.fc.2.weight", torch.zeros(7, 16)),
            "'encoder_r.fc.2.weight' has shape (7, 16), expected (12, 16)",
        ),
        (
            set_to("encoder_l.l2.gcn1.PA", torch.zeros(3, 20, 20)),
            "'encoder_l.l2.gcn1.PA' has shape (3, 20, 20)",
        ),
        (
            set_to("encoder_r.l1.tcn1.conv.weight", torch.zeros(6, 8, 9, 1)),
            "graph encoder: widths are (6, 16)",
        ),
        (set_to("Queue_S2", torch.zeros(12, 5)), "'Queue_S2' has shape (12, 5), expected (12, 24)"),
        (set_to("queue", torch.zeros(12, 24)), "'queue' of shape (12, 24) is no entry of a published model"),
        (
            set_to("encoder_q.encoder.gru.weight_hh_l5", torch.zeros(24, 8)),
            "'encoder_q.encoder.gru.weight_hh_l5' of shape (24, 8) is no entry",
        ),
        (
            lambda state: state.pop("encoder_q.encoder.gru.bias_ih_l0_reverse"),
            "lacks the entry 'encoder_q.encoder.gru.bias_ih_l0_reverse', expected with shape (24,)",
        ),
        (lambda state: state.pop("encoder_r.data_bn.weight"), "lacks the entry 'encoder_r.data_bn.weight'"),
        (lambda state: state.pop("queue_ptr_S1"), "lacks the entry 'queue_ptr_S1', expected with shape (1,)"),
        (
            set_to("encoder_k.fc.0.bias", torch.full((16,), torch.nan)),
            "entry 'module.encoder_k.fc.0.bias' has values that are no finite numbers",
        ),
    ],
)
def test_entry_that_does_not_fit_is_named_with_its_shape_and_the_expected_one(
    change, message, file, tmp_path
):
    path = file("seq+graph", change=change)
    line = refusal(path, tmp_path / "run")
    assert line.startswith(f"{path}: ")
    assert message in line


def test_a_name_of_several_lines_is_told_in_one(file, tmp_path):
    path = file("seq", change=set_to("one\ntwo", torch.zeros(3)))
    assert r"'one\ntwo' of shape (3,) is no entry" in refusal(path, tmp_path / "run")


NOT_IN_THE_FILE = {
    "expanded": lambda: torch.zeros(1).expand(10**12),
    "on no device": lambda: torch.zeros(10**12, device="meta"),
    "nested": lambda: torch.nested.nested_tensor([torch.zeros(2), torch.zeros(3)]),
    "jagged": lambda: torch.nested.nested_tensor([torch.zeros(2), torch.zeros(3)], layout=torch.jagged),
    "short": lambda: torch.zeros(24, 1).expand(24, 8),
}


@pytest.mark.filterwarnings("ignore:The PyTorch API of nested tensors")
@pytest.mark.parametrize("kind", NOT_IN_THE_FILE)
def test_a_tensor_whose_numbers_are_not_all_in_the_file_is_refused(kind, file, tmp_path):
    name = "encoder_k.encoder.gru.weight_hh_l1"
    path = file("seq", change=set_to(name, NOT_IN_THE_FILE[kind]()))
    message = f"{path}: entry 'module.{name}' is no dense tensor, expected a model's state dict"
    assert refusal(path, tmp_path / "run") == message


@pytest.mark.parametrize(
    "shape", [(0, 10**6), (0, 10**12), (0, 2**60), (0, 2**63 - 1)], ids=["large", "absurd", "exa", "most"]
)
@pytest.mark.parametrize("name", ["encoder_q.encoder.gru.weight_hh_l0", "Queue_S1"])
def test_sizes_that_a_file_only_claims_take_no_memory(name, shape, file, tmp_path):
    path = file("seq+graph", change=set_to(name, torch.empty(shape)))
    line = refusal(path, tmp_path / "run")
    assert line.startswith(f"{path}: ")
    assert "has shape" in line or "beyond all reason" in line


def test_numbers_of_a_kind_that_no_weights_have_are_refused(file, tmp_path):
    weight = torch.zeros(24, 8).to(torch.float8_e4m3fn)
    path = file("seq", change=set_to("encoder_q.encoder.gru.weight_hh_l0", weight))
    assert "values that are no finite numbers" in refusal(path, tmp_path / "run")


@pytest.mark.parametrize("asked", ["seq", "graph+image", "seq+graph+image", "seq+seq", "pixels"])
def test_representations_other_than_the_files_are_refused(asked, file, tmp_path):
    path = file("seq+graph")
    line = refusal(path, tmp_path / "run", representations=asked)
    assert line == f"{path}: holds seq+graph, expected {asked}"


def test_unknown_recipe_or_layout_and_a_run_that_exists_are_refused(file, tmp_path):
    path, run = file("seq"), tmp_path / "run"
    assert "no recipe 'iscc'; expected isc" in refusal(path, run, recipe="iscc")
    assert "no such joint layout; expected ntu25" in refusal(path, run, layout="ntu26")
    import_checkpoint(path, run)
    before = {file.name: file.read_bytes() for file in run.iterdir()}
    for wrong in (run, path):
        with pytest.raises(SkelkitError, match=f"{wrong.name}: exists already; give another folder"):
            import_checkpoint(path, wrong)
    assert {file.name: file.read_bytes() for file in run.iterdir()} == before


# The command


def test_command_says_what_it_imported(file, tmp_path):
    run = tmp_path / "run"
    given = ["import-checkpoint", file("seq+graph"), "--representations", "seq+graph"]
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


def test_command_says_what_the_file_lacks(file, tmp_path):
    path = file("seq", change=lambda state: [state.pop(name) for name in ("queue", "queue_ptr")])
    result = invoke("import-checkpoint", path, "-o", tmp_path / "run")
    assert result.stdout.splitlines()[1] == "  not in the file, and not needed by evaluation: queue of seq"


def test_command_fails_in_one_line(tmp_path):
    result = invoke("import-checkpoint", tmp_path / "none.pth.tar", "-o", tmp_path / "run")
    assert result.exit_code == 1
    assert result.stdout == ""
    assert result.stderr == f"Error: {tmp_path / 'none.pth.tar'}: cannot be read: No such file or directory\n"
    assert invoke("import-checkpoint", tmp_path / "none.pth.tar").exit_code == 2
