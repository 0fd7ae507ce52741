"""Representations of different runs, fused: the features of each beside the others', sample by sample."""

from __future__ import annotations

import json
import re
from dataclasses import asdict

import numpy as np
import pytest
import torch
from click.testing import CliRunner
from runs import CPU, PROBE, train

from skelkit.datasets import Protocol
from skelkit.errors import SkelkitError
from skelkit.store import Store
from skelkit_train.cli import main
from skelkit_train.evaluate.features import Features, digest
from skelkit_train.evaluate.linear import LinearConfig, logistic
from skelkit_train.evaluate.retrieval import ranked
from skelkit_train.evaluate.setting import open_setting
from skelkit_train.evaluate.tasks import evaluate_linear, evaluate_retrieval

TASKS = {
    "linear": ["--epochs", 1],
    "retrieval": [],
    "semi": ["--epochs", 1, "--share", 20, "--subsets", 1],
    "finetune": ["--epochs", 1],
    "supervised": ["--epochs", 1],
}


@pytest.fixture
def pair(ntu, tiny, tmp_path):
    """Two runs on `ntu`: one of seq, one of graph."""
    train(ntu, tmp_path / "first", tiny(epochs=1))
    train(ntu, tmp_path / "second", tiny(representations="graph", epochs=1, seed=1))
    return tmp_path / "first", tmp_path / "second"


def setting(run, data, *others, protocol="xsub"):
    return open_setting(run, data, protocol, device=CPU, others=others)


def by_hand(run, data, representation):
    """(N, D) features of a run by itself, in the order of the store."""
    where = setting(run, data)
    return where.features(where.trained.encoder(representation)).everything()


def quick(where, **options):
    return evaluate_linear(where, LinearConfig(), quick=True, baselines=False, **options)


def test_features_are_those_of_each_run_side_by_side(pair, ntu):
    first, second = pair
    where = setting(first, ntu, second)
    together = torch.cat([by_hand(first, ntu, "seq"), by_hand(second, ntu, "graph")], dim=1)
    (candidate,) = where.candidates(None, "pretrained")
    features = where.features(candidate.encoder(0))
    assert candidate.title == "pretrained seq+graph"
    torch.testing.assert_close(features.centre(where.train), together[where.train], rtol=0, atol=0)
    torch.testing.assert_close(features.everything(), together, rtol=0, atol=0)

    label = torch.from_numpy(where.sequences.label)
    test = where.held_out["test"]
    wanted = ranked(together[where.train], together[test], label[where.train], label[test], where.train)
    (row,) = evaluate_retrieval(where, baselines=False).rows
    assert row.trials[0].predicted == wanted.predicted
    assert row.trials[0].nearest == [where.names[place] for place in wanted.nearest]


def test_scores_are_the_mean_of_each_runs(pair, ntu):
    first, second = pair
    where = setting(first, ntu, second)
    train, test = where.train, where.held_out["test"]
    label = torch.from_numpy(where.sequences.label[train])
    shares = []
    for features in (by_hand(first, ntu, "seq"), by_hand(second, ntu, "graph")):
        logits = logistic(features[train], label, {"test": features[test]})["test"]
        shares.append(logits.softmax(dim=1))
    (row,) = quick(where, fusion="scores").rows
    assert row.trials[0].predicted == torch.stack(shares).mean(dim=0).argmax(dim=1).tolist()


def test_samples_are_matched_by_name_whatever_their_order(pair, ntu, monkeypatch):
    first, second = pair
    tasks = (quick, lambda where: evaluate_retrieval(where, baselines=False))
    rows = [evaluate(setting(first, ntu, second)).rows for evaluate in tasks]
    kept = sorted((first / "features").iterdir())
    assert len(kept) == 2
    for seed, path in enumerate(kept):  # as stores in other orders would have written them
        with np.load(path) as file:
            arrays = dict(file)
        order = np.random.default_rng(seed).permutation(32)
        np.savez(path, **arrays | {"features": arrays["features"][order], "name": arrays["name"][order]})
    monkeypatch.setattr(Features, "everything", lambda _: pytest.fail("features are computed again"))
    assert [evaluate(setting(first, ntu, second)).rows for evaluate in tasks] == rows


def test_runs_of_one_representation_give_it_each(pair, run, ntu):
    first, _ = pair
    where = setting(first, ntu, run)
    (whole,) = where.candidates(None, "pretrained")
    candidate, untrained = where.candidates("seq", "pretrained", "untrained")
    assert (whole.representation, candidate.representation) == ("seq+seq+graph", "seq+seq")
    own, other = candidate.encoder(0).encoders.values()
    assert digest(own) == digest(where.trained.encoder("seq"))
    assert digest(other) == digest(setting(run, ntu).trained.encoder("seq"))
    own, other = untrained.encoder(0).encoders.values()
    assert digest(own) != digest(other)


def test_result_names_the_other_run_and_overwrites_nothing(pair, run, own_run, ntu):
    first, second = pair
    before = {path: path.read_bytes() for path in second.rglob("*") if path.is_file()}
    found = [
        evaluate_retrieval(setting(own_run, ntu), representation="seq+graph", baselines=False),
        evaluate_retrieval(setting(own_run, ntu, second), representation="seq+graph", baselines=False),
        evaluate_retrieval(setting(own_run, ntu, first), representation="seq+graph", baselines=False),
        evaluate_retrieval(setting(own_run, ntu, run), representation="seq", baselines=False),
        evaluate_retrieval(setting(own_run, ntu, run, first), representation="seq", baselines=False),
    ]
    assert len({each.path for each in found}) == len(found)
    assert all(each.path.parent == own_run for each in found)
    for each in found:
        assert json.loads(each.path.read_text()) == json.loads(json.dumps(asdict(each)))
    with Store(ntu) as store:
        trained_on = {"content_hash": store.content_hash, "protocol": "xsub"}
    assert found[1].fused_with == [
        {"run": str(second), "epoch": 1, "pretrained_on": trained_on, "test_seen": 0}
    ]
    assert (found[0].fused_with, found[1].representation) == ([], "seq+graph+graph")
    assert f"checkpoint after 3 epochs, with {second} after 1\n" in found[1].table()
    assert {path: path.read_bytes() for path in second.rglob("*") if path.is_file()} == before


@pytest.mark.parametrize("task", TASKS)
@pytest.mark.parametrize("fusion", ["features", "scores"])
def test_every_task_takes_runs_together(task, fusion, pair, ntu):
    first, second = pair
    given = ["eval", task, first, ntu, "--protocol", "xsub", "--with", second, "--fusion", fusion]
    arguments = [str(argument) for argument in [*given, *TASKS[task], "--device", "cpu", "--json"]]
    result = CliRunner().invoke(main, arguments)
    assert result.exit_code == 0, result.output
    found = json.loads(result.stdout)
    assert found["rows"][0]["representation"] == found["representation"] == "seq+graph"
    assert [other["run"] for other in found["fused_with"]] == [str(second)]


def test_table_of_fused_scores_tells_who_has_not_learned(pair, ntu):
    first, second = pair
    scores = evaluate_linear(setting(first, ntu, second), PROBE, fusion="scores", baselines=False)
    assert "pretrained seq+graph: the training loss is still" in scores.table().splitlines()[-1]


def test_test_samples_that_another_run_has_seen_are_told(pair, ntu, tiny, rewritten, tmp_path):
    first, _ = pair
    protocols = {
        "xsub": Protocol("subject", frozenset([1, 2, 3])),
        "cross": Protocol("subject", frozenset([1, 4])),
    }
    both = rewritten(ntu, protocols=protocols)
    train(both, tmp_path / "third", tiny(protocol="cross", epochs=1))
    with pytest.warns(UserWarning, match=r"third: was pretrained with protocol cross, .* 8 of the 8 test"):
        where = setting(first, both, tmp_path / "third")
    assert [other.seen for other in where.others] == [8]


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        ({"frames": 8}, "its views have 8 frames, the run's have 16"),
        ({"bodies": 1}, "its views have 1 bodies, the run's have 2"),
    ],
)
def test_runs_with_other_views_are_refused(fields, message, pair, ntu, tiny, tmp_path):
    first, _ = pair
    train(ntu, tmp_path / "other", tiny(epochs=1, **fields))
    with pytest.raises(SkelkitError, match=f"other: cannot be fused with .*first: {message}$"):
        setting(first, ntu, tmp_path / "other")


def test_runs_on_other_data_are_refused(pair, ntu, kinect, make_store, tiny, tmp_path):
    first, second = pair
    for data, message in (
        (kinect, "its joint layout is kinect20, the run was trained on ntu25"),
        (make_store(tmp_path / "isc.h5", recipe="isc"), "its recipe is isc, the run was trained on raw; "),
    ):
        train(data, tmp_path / data.stem, tiny(epochs=1))
        with pytest.raises(SkelkitError, match=f"{data.stem}: cannot be fused with .*first: {message}"):
            setting(first, ntu, second, tmp_path / data.stem)


@pytest.mark.parametrize(
    ("others", "wanted", "message"),
    [
        (["second"], "image", "first with .*second: has seq, graph, not image"),
        (["second"], "graph", "first: has seq, not graph"),
        (["second"], "seq", "second: has graph, not seq"),
        (["second/../first"], None, "first: this run is given twice"),
        (["second", "second"], None, "second: this run is given twice"),
        (["none"], None, "none: no such run"),
    ],
)
def test_what_cannot_be_fused_is_one_line(others, wanted, message, pair, ntu):
    first, _ = pair
    given = ["eval", "retrieval", first, ntu, "--protocol", "xsub"]
    given += [word for other in others for word in ("--with", first.parent / other)]
    given += ["--representation", wanted] if wanted else []
    result = CliRunner().invoke(main, [str(word) for word in given])
    assert result.exit_code == 1
    (line,) = result.stderr.strip().splitlines()
    assert re.search(message, line)
    assert not list(first.glob("eval-*"))
