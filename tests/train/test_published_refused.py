"""What is no published checkpoint is refused in one line, and nothing in it is executed."""

from __future__ import annotations

import os
import pickle

import pytest
import torch
from published_models import refusal

from skelkit.errors import SkelkitError
from skelkit_train.published import import_checkpoint


class Trap:
    """Makes a folder when it is unpickled."""

    def __init__(self, path):
        self.path = path

    def __reduce__(self):
        return os.mkdir, (str(self.path),)


@pytest.mark.parametrize("zipped", [True, False])
def test_code_in_a_checkpoint_is_named_and_not_executed(zipped, published_state, tmp_path):
    sprung, path = tmp_path / "sprung", tmp_path / "trap.pth.tar"
    content = {"state_dict": published_state("seq"), "trap": Trap(sprung)}
    torch.save(content, path, _use_new_zipfile_serialization=zipped)
    assert refusal(path, tmp_path / "run").startswith(f"{path}: not loaded: it has posix.mkdir in it")
    assert not sprung.exists()
    torch.load(path, weights_only=False)
    assert sprung.exists()


@pytest.mark.parametrize("zipped", [True, False])
def test_damaged_checkpoint_is_named(zipped, published_state, tmp_path):
    path = tmp_path / "checkpoint.pth.tar"
    torch.save(published_state("seq"), path, _use_new_zipfile_serialization=zipped)
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
    change, message, published, tmp_path
):
    path = published("seq+graph", change=change)
    line = refusal(path, tmp_path / "run")
    assert line.startswith(f"{path}: ")
    assert message in line


def test_a_name_of_several_lines_is_told_in_one(published, tmp_path):
    path = published("seq", change=set_to("one\ntwo", torch.zeros(3)))
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
def test_a_tensor_whose_numbers_are_not_all_in_the_file_is_refused(kind, published, tmp_path):
    name = "encoder_k.encoder.gru.weight_hh_l1"
    path = published("seq", change=set_to(name, NOT_IN_THE_FILE[kind]()))
    message = f"{path}: entry 'module.{name}' is no dense tensor, expected a model's state dict"
    assert refusal(path, tmp_path / "run") == message


@pytest.mark.parametrize(
    "shape", [(0, 10**6), (0, 10**12), (0, 2**60), (0, 2**63 - 1)], ids=["large", "absurd", "exa", "most"]
)
@pytest.mark.parametrize("name", ["encoder_q.encoder.gru.weight_hh_l0", "Queue_S1"])
def test_sizes_that_a_file_only_claims_take_no_memory(name, shape, published, tmp_path):
    path = published("seq+graph", change=set_to(name, torch.empty(shape)))
    line = refusal(path, tmp_path / "run")
    assert line.startswith(f"{path}: ")
    assert "has shape" in line or "beyond all reason" in line


def test_numbers_of_a_kind_that_no_weights_have_are_refused(published, tmp_path):
    weight = torch.zeros(24, 8).to(torch.float8_e4m3fn)
    path = published("seq", change=set_to("encoder_q.encoder.gru.weight_hh_l0", weight))
    assert "values that are no finite numbers" in refusal(path, tmp_path / "run")


@pytest.mark.parametrize("asked", ["seq", "graph+image", "seq+graph+image", "seq+seq", "pixels"])
def test_representations_other_than_the_files_are_refused(asked, published, tmp_path):
    path = published("seq+graph")
    line = refusal(path, tmp_path / "run", representations=asked)
    assert line == f"{path}: holds seq+graph, expected {asked}"


def test_unknown_recipe_or_layout_and_a_run_that_exists_are_refused(published, tmp_path):
    path, run = published("seq"), tmp_path / "run"
    assert "no recipe 'iscc'; expected isc" in refusal(path, run, recipe="iscc")
    assert "no such joint layout; expected ntu25" in refusal(path, run, layout="ntu26")
    import_checkpoint(path, run)
    before = {file.name: file.read_bytes() for file in run.iterdir()}
    for wrong in (run, path):
        with pytest.raises(SkelkitError, match=f"{wrong.name}: exists already; give another folder"):
            import_checkpoint(path, wrong)
    assert {file.name: file.read_bytes() for file in run.iterdir()} == before


def test_a_run_that_cannot_be_made_is_told_in_one_line(published, tmp_path):
    path, file = published("seq"), tmp_path / "file"
    file.write_text("mine")
    for run, message in ((tmp_path / ("x" * 300), "cannot look there"), (file / "run", "cannot write there")):
        with pytest.raises(SkelkitError, match=message) as caught:
            import_checkpoint(path, run)
        assert "\n" not in str(caught.value)
