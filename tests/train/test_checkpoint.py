"""A checkpoint comes back as it was written, or is refused; a run always has an intact one."""

from __future__ import annotations

import hashlib
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch

from skelkit.errors import SkelkitError
from skelkit.normalise import RECIPES
from skelkit.sequence import SkeletonSequence
from skelkit.skeleton import load_layout
from skelkit.store import Header, Store, write_store
from skelkit_train import checkpoint as module
from skelkit_train.checkpoint import DataFacts, build_model, load_latest, save

CPU = torch.device("cpu")


def assert_equal(actual, wanted):
    torch.testing.assert_close(actual, wanted, rtol=0, atol=0)


def names(folder):
    return sorted(path.name for path in folder.iterdir())


def flip(path):
    data = bytearray(path.read_bytes())
    data[len(data) // 2] ^= 1
    path.write_bytes(data)


DAMAGE = {
    "flipped bit": flip,
    "truncated": lambda path: path.write_bytes(path.read_bytes()[:-100]),
    "empty": lambda path: path.write_bytes(b""),
    "no checksum": lambda path: path.with_suffix(".sha256").unlink(),
    "garbled checksum": lambda path: path.with_suffix(".sha256").write_bytes(b"\xff\xfe"),
}


def test_checkpoint_comes_back_as_it_was(run, tmp_path):
    wanted = load_latest(run)
    path = save(tmp_path, wanted)

    again = load_latest(tmp_path)

    assert path.name == "checkpoint-000003.pt"
    assert (again.config, again.data) == (wanted.config, wanted.data)
    assert (again.epoch, again.step) == (wanted.epoch, wanted.step) == (3, 9)
    assert_equal(again.model, wanted.model)
    assert_equal(again.optimizer, wanted.optimizer)
    assert_equal(again.scheduler, wanted.scheduler)
    assert_equal(dict(again.restore_model(CPU).state_dict()), dict(wanted.model))


def test_a_model_has_the_settings_of_its_configuration(run, tiny):
    facts = load_latest(run).data
    config = tiny(representations="seq+image", momentum=0.5, temperature=0.3, hcn_dropout=0.25, queue=24)
    model = build_model(config, facts)
    assert (model.momentum, model.temperature) == (0.5, 0.3)
    assert {m.p for m in model.modules() if isinstance(m, torch.nn.Dropout2d)} == {0.25}
    assert len(model.queues["seq"].keys) == 24


def test_views_have_two_bodies_at_most_unless_asked(tmp_path):
    joints = np.ones((2, 3, 25, 3), np.float32)
    sequence = SkeletonSequence(joints, np.ones((2, 3), np.bool_), "a", 0)
    layout = load_layout("ntu25")
    write_store(tmp_path / "a.h5", [sequence], Header("x", layout, RECIPES["raw"].describe()))
    with Store(tmp_path / "a.h5") as store:
        assert [DataFacts.of(store, bodies).bodies for bodies in (0, 1, 3)] == [2, 1, 3]


def test_checkpoints_within_an_epoch_lie_between_those_of_the_epochs(run, tmp_path):
    newest = load_latest(run)
    begun = {"batches": 1, "samples": 8, "seconds": 0.5, "sums": {"loss": 3.5}}
    assert module.checkpoints(tmp_path) == []
    for epoch, step, progress in ((3, 9, {}), (3, 10, begun), (3, 19, {**begun, "batches": 10}), (4, 29, {})):
        path = save(tmp_path, replace(newest, epoch=epoch, step=step, begun=progress))
        assert module.checkpoints(tmp_path)[-1] == path
        again = load_latest(tmp_path)
        assert (again.epoch, again.step, again.begun) == (epoch, step, progress)
    assert [path.name for path in module.checkpoints(tmp_path)] == [
        "checkpoint-000003_000010.pt",
        "checkpoint-000004.pt",
    ]
    flip(tmp_path / "checkpoint-000004.pt")
    with pytest.warns(UserWarning, match="damaged"):
        assert load_latest(tmp_path).step == 19


def test_the_last_two_are_kept_with_their_checksums(run):
    assert names(run) == [
        "checkpoint-000002.pt",
        "checkpoint-000002.sha256",
        "checkpoint-000003.pt",
        "checkpoint-000003.sha256",
        "config.toml",
        "metrics.jsonl",
    ]


@pytest.mark.parametrize("damage", DAMAGE)
def test_damaged_newest_is_warned_of_and_the_one_before_is_used(damage, own_run):
    DAMAGE[damage](own_run / "checkpoint-000003.pt")
    with pytest.warns(UserWarning, match=r"checkpoint-000003\.pt: damaged, and passed over"):
        assert load_latest(own_run).epoch == 2


def write(path, content):
    """A checkpoint with its checksum."""
    torch.save(content, path)
    path.with_suffix(".sha256").write_text(hashlib.sha256(path.read_bytes()).hexdigest())


def test_settings_of_another_version_are_named_and_the_checkpoint_before_is_used(own_run):
    newest = own_run / "checkpoint-000003.pt"
    content = torch.load(newest, weights_only=True)
    content["config"]["warmth"] = 3
    write(newest, content)
    message = r"checkpoint-000003\.pt: of another version, and passed over: no setting 'warmth'"
    with pytest.warns(UserWarning, match=message):
        assert load_latest(own_run).epoch == 2


@pytest.mark.parametrize("content", [torch.zeros(3), [1, 2], {"config": {}}, None])
def test_what_is_no_checkpoint_is_passed_over(content, own_run):
    write(own_run / "checkpoint-000003.pt", content)
    with pytest.warns(UserWarning, match=r"checkpoint-000003\.pt: damaged, and passed over") as caught:
        assert load_latest(own_run).epoch == 2
    assert "\n" not in str(caught[0].message)


def test_weights_that_do_not_fit_the_model_are_one_clear_error(run):
    newest = load_latest(run)
    name = "query.seq.head.layers.0.weight"
    for change, message in (
        ({name: None}, f"checkpoint-000003.pt: lacks the weight {name}"),
        ({"more": torch.zeros(1)}, "checkpoint-000003.pt: its weight more has no place in the model"),
        ({name: torch.zeros(3)}, rf"its weight {name} has shape \(3,\), expected \(16, 16\)"),
    ):
        changed = {name: value for name, value in {**newest.model, **change}.items() if value is not None}
        with pytest.raises(SkelkitError, match=message) as caught:
            replace(newest, model=changed).restore_model(CPU)
        assert "\n" not in str(caught.value)


def test_saving_keeps_the_checkpoint_before_and_drops_newer_ones_that_could_not_be_used(own_run):
    for name in ("checkpoint-000004", "checkpoint-000003_000002"):
        (own_run / f"{name}.pt").write_bytes(b"damaged")
        (own_run / f"{name}.sha256").write_text("another")
    with pytest.warns(UserWarning, match="damaged"):
        before = load_latest(own_run)
    assert before.epoch == 3
    begun = {"batches": 1, "samples": 8, "seconds": 0.5, "sums": {"loss": 3.5}}
    save(own_run, replace(before, begun=begun))
    assert [name for name in names(own_run) if name.startswith("checkpoint")] == [
        "checkpoint-000003.pt",
        "checkpoint-000003.sha256",
        "checkpoint-000003_000001.pt",
        "checkpoint-000003_000001.sha256",
    ]


@pytest.mark.filterwarnings("ignore:.*damaged")
def test_run_with_damaged_checkpoints_alone_is_one_clear_error(own_run):
    for path in own_run.glob("*.pt"):
        flip(path)
    with pytest.raises(SkelkitError, match="no intact checkpoint in this folder") as caught:
        load_latest(own_run)
    assert "\n" not in str(caught.value)


def test_folder_that_is_no_run_is_one_clear_error(tmp_path):
    with pytest.raises(SkelkitError, match=f"{tmp_path.name}: no intact checkpoint .* is it a run"):
        load_latest(tmp_path)
    with pytest.raises(SkelkitError, match="nowhere: no such run"):
        load_latest(tmp_path / "nowhere")
    (tmp_path / "file").touch()
    with pytest.raises(SkelkitError, match="file: is a file, expected a run"):
        load_latest(tmp_path / "file")


class Trap:
    """Writes a file when it is unpickled."""

    def __init__(self, path):
        self.path = path

    def __reduce__(self):
        return Path.touch, (self.path,)


def test_malicious_pickle_is_not_executed(own_run, tmp_path):
    sprung = tmp_path / "sprung"
    newest = own_run / "checkpoint-000003.pt"
    write(newest, {"config": Trap(sprung)})
    with pytest.warns(UserWarning, match="damaged"):
        assert load_latest(own_run).epoch == 2
    assert not sprung.exists()
    torch.load(newest, weights_only=False)
    assert sprung.exists()


@pytest.mark.parametrize("error", [OSError(28, "No space left on device"), RuntimeError("unexpected pos")])
def test_failing_save_leaves_what_was_there(error, own_run, monkeypatch):
    before = {path.name: path.read_bytes() for path in own_run.iterdir()}

    def half(_, file):
        file.write_bytes(b"half")
        assert not (own_run / "checkpoint-000004.pt").exists()
        raise error

    monkeypatch.setattr(module.torch, "save", half)
    with pytest.raises(
        SkelkitError, match=r"checkpoint-000004\.pt: cannot write the checkpoint: .*(space|pos)"
    ):
        save(own_run, replace(load_latest(own_run), epoch=4))
    assert {path.name: path.read_bytes() for path in own_run.iterdir()} == before


def test_failing_rename_leaves_the_checkpoints_that_were_there(own_run, monkeypatch):
    newest = load_latest(own_run)

    def refuse(*_):
        raise OSError(5, "Input/output error")

    monkeypatch.setattr(Path, "replace", refuse)
    with pytest.raises(SkelkitError, match="Input/output error"):
        save(own_run, replace(newest, epoch=4))
    assert [path.name for path in own_run.glob("*.tmp")] == []
    assert [path.name for path in sorted(own_run.glob("*.pt"))] == [
        "checkpoint-000002.pt",
        "checkpoint-000003.pt",
    ]
    assert load_latest(own_run).epoch == 3


def test_what_a_killed_save_left_is_no_checkpoint(own_run):
    (own_run / "checkpoint-000004.tmp").write_bytes(b"half")
    assert load_latest(own_run).epoch == 3


# Models


def test_model_depends_on_the_seed_alone_and_leaves_the_generator_alone(ntu, tiny):
    with Store(ntu) as store:
        facts = DataFacts.of(store, 0)
    config = tiny(representations="seq+graph+image")
    torch.manual_seed(1)
    first = build_model(config, facts).state_dict()
    drawn = torch.rand(1)
    torch.manual_seed(1)
    assert torch.equal(torch.rand(1), drawn)

    assert_equal(dict(build_model(config, facts).state_dict()), dict(first))
    other = build_model(tiny(representations="seq+graph+image", seed=1), facts).state_dict()
    for name in ("query.seq.head.layers.0.weight", "queues.image.keys"):
        assert not torch.equal(other[name], first[name])


@pytest.mark.parametrize(
    ("representations", "wrong", "message"),
    [
        ("seq", {"gru_direction": "up"}, "seq encoder: direction is 'up'"),
        ("graph", {"agcn_widths": [6]}, "graph encoder: widths are"),
        ("image", {"frames": 20}, "image encoder: frames is 20"),
    ],
)
def test_sizes_that_an_encoder_refuses_are_one_clear_line(representations, wrong, message, ntu, tiny):
    with Store(ntu) as store:
        facts = DataFacts.of(store, 0)
    with pytest.raises(SkelkitError, match=message):
        build_model(tiny(representations=representations, **wrong), facts)


@pytest.mark.parametrize(("wanted", "bodies"), [(0, 2), (1, 1), (3, 3)])
def test_facts_are_those_of_the_store(wanted, bodies, kinect):
    with Store(kinect) as store:
        facts = DataFacts.of(store, wanted)
        assert facts.bodies == bodies
        assert facts.content_hash == store.content_hash
        facts.check(store)
    assert '"kinect20"' in facts.layout
    assert load_layout("kinect20").to_json() == facts.layout


def test_store_of_another_layout_or_recipe_is_refused(ntu, kinect, make_store, tmp_path):
    with Store(ntu) as store:
        facts = DataFacts.of(store, 0)
    with (
        Store(kinect) as store,
        pytest.raises(SkelkitError, match="layout is kinect20, the run was trained on ntu25"),
    ):
        facts.check(store)
    with (
        Store(make_store(tmp_path / "other.h5", recipe="isc")) as store,
        pytest.raises(SkelkitError, match="recipe is isc, the run was trained on raw"),
    ):
        facts.check(store)


def test_store_of_the_same_recipe_with_another_parameter_or_layout_in_detail_is_refused(ntu, rewritten):
    with Store(ntu) as store:
        facts = DataFacts.of(store, 0)
        steps, layout = store.recipe["steps"], store.layout
    first_step = steps[0]["step"]
    for header, message in (
        (
            {"recipe": {"name": "raw", "source": "", "steps": [{**steps[0], "bodies": 7}, *steps[1:]]}},
            rf"recipe raw has step 1, {first_step}\(bodies=7\); in that of the run .* {first_step}\(\);",
        ),
        (
            {"recipe": {"name": "raw", "source": "", "steps": [*steps, {"step": "more"}]}},
            rf"has step {len(steps) + 1}, more\(\); in that of the run it has {len(steps)} steps;",
        ),
        ({"layout": replace(layout, bones=layout.bones[1:])}, "ntu25 differs in bones from the run's"),
    ):
        with Store(rewritten(ntu, **header)) as store, pytest.raises(SkelkitError, match=message):
            facts.check(store)
    with Store(rewritten(ntu, recipe={"name": "raw", "source": "in other words", "steps": steps})) as store:
        facts.check(store)
