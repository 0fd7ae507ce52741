"""What evaluations leave in a run is used again where it fits, and never confused with another's."""

from __future__ import annotations

import json
from dataclasses import asdict, replace

import numpy as np
import pytest
from runs import PROBE, TUNE, setting

from skelkit.errors import SkelkitError
from skelkit_train.evaluate import tasks
from skelkit_train.evaluate.features import Features
from skelkit_train.evaluate.results import write
from skelkit_train.evaluate.subsets import LabelSubsets
from skelkit_train.evaluate.tasks import (
    evaluate_linear,
    evaluate_retrieval,
    evaluate_semi,
)


def test_a_finished_training_is_not_repeated(own_run, ntu, monkeypatch):
    where = setting(own_run, ntu)
    first = evaluate_semi(where, TUNE, shares=(20.0,), subsets=2, representation="seq")
    real, calls = tasks.finetune, []

    def spy(*arguments, **options):
        calls.append(arguments)
        return real(*arguments, **options)

    monkeypatch.setattr(tasks, "finetune", spy)
    more = evaluate_semi(where, TUNE, shares=(20.0,), subsets=3, representation="seq")
    assert len(calls) == 1
    assert more.rows[0].trials[:2] == first.rows[0].trials
    evaluate_semi(where, replace(TUNE, learning_rate=1.0), shares=(20.0,), subsets=2, representation="seq")
    assert len(calls) == 3
    evaluate_semi(setting(own_run, ntu, subjects=1), TUNE, shares=(20.0,), subsets=1, representation="seq")
    assert len(calls) == 4
    for trial in (own_run / "trials").iterdir():
        trial.write_text(trial.read_text()[:-30])
    again = evaluate_semi(where, TUNE, shares=(20.0,), subsets=2, representation="seq")
    assert len(calls) == 6
    assert again.rows == first.rows


def test_semi_trains_on_the_subsets_that_the_run_lists(own_run, ntu, monkeypatch):
    real, trained = tasks.finetune, []

    def spy(sequences, encoder, frames, train, *arguments, **options):
        trained.append(train)
        return real(sequences, encoder, frames, train, *arguments, **options)

    monkeypatch.setattr(tasks, "finetune", spy)
    where = setting(own_run, ntu)
    found = evaluate_semi(where, TUNE, shares=(20.0, 40.0), subsets=2, representation="seq")
    listed = [LabelSubsets.read(own_run / file) for file in found.subset_files]
    assert [each.share for each in listed] == [row.share for row in found.rows] == [20, 40]
    names = [[where.names[place] for place in places] for places in trained]
    assert names == [*listed[0].subsets, *listed[1].subsets]
    assert len(names[0]) == 4
    assert [trial.subset for trial in found.rows[0].trials] == [0, 1]

    trained.clear()
    again = evaluate_semi(where, TUNE, listed=listed[1], representation="seq", fresh=True)
    assert [[where.names[place] for place in places] for places in trained] == listed[1].subsets
    assert again.rows == found.rows[1:]


def test_listed_subsets_have_files_and_results_of_their_own(own_run, ntu):
    where = setting(own_run, ntu)
    drawn = evaluate_semi(where, TUNE, shares=(20.0,), subsets=2, representation="seq")
    before = (own_run / drawn.subset_files[0]).read_bytes()
    listed = LabelSubsets.read(own_run / drawn.subset_files[0])
    others = [replace(listed, subsets=[part[k:] for part in listed.subsets]) for k in (1, 2)]
    found = [evaluate_semi(where, TUNE, listed=each, representation="seq") for each in others]
    assert (own_run / drawn.subset_files[0]).read_bytes() == before
    assert len({drawn.file, *(each.file for each in found)}) == 3
    for each, wanted in zip(found, others, strict=True):
        assert f"listed{wanted.digest[:8]}" in each.file
        assert LabelSubsets.read(own_run / each.subset_files[0]) == wanted


def test_other_settings_do_not_overwrite(own_run, ntu):
    where = setting(own_run, ntu)
    found = [
        evaluate_retrieval(where, baselines=False),
        evaluate_retrieval(where, k=3, baselines=False),
        evaluate_retrieval(where, representation="seq", baselines=False),
        evaluate_retrieval(where, representation="seq+graph", baselines=False),
        evaluate_retrieval(where, representation="seq+graph", fusion="scores", baselines=False),
        evaluate_linear(where, PROBE, baselines=False),
        evaluate_linear(where, PROBE, seeds=2, baselines=False),
        evaluate_linear(where, replace(PROBE, seed=1), baselines=False),
        evaluate_linear(where, PROBE, quick=True, baselines=False),
        evaluate_linear(setting(own_run, ntu, subjects=1), PROBE, quick=True, baselines=False),
    ]
    assert len({each.path for each in found}) == len(found)
    assert found[0].path.name == f"eval-retrieval-{ntu.stem}-xsub.json"
    for each in found:
        assert json.loads(each.path.read_text()) == json.loads(json.dumps(asdict(each)))


def test_stores_of_one_name_do_not_overwrite_each_others_results(own_run, ntu, make_store, tmp_path):
    (tmp_path / "other").mkdir()
    other = make_store(tmp_path / "other" / ntu.name, repeats=4)
    found = [
        evaluate_semi(setting(own_run, data), TUNE, shares=(20.0,), subsets=2, representation="seq")
        for data in (ntu, other, ntu, other)
    ]
    assert [each.path for each in found[2:]] == [each.path for each in found[:2]]
    files = [found[0].file, found[1].file, *found[0].subset_files, *found[1].subset_files]
    assert len(set(files)) == 4
    assert found[0].file == f"eval-semi-{ntu.stem}-xsub-seq-epochs1-shares20-subsets2.json"
    assert found[1].file == found[0].file.replace(".json", f"-{found[1].content_hash[:6]}.json")
    for each in found:
        assert json.loads(each.path.read_text())["content_hash"] == each.content_hash
        assert LabelSubsets.read(own_run / each.subset_files[0]).content_hash == each.content_hash


def test_features_are_computed_once_and_found_by_name(own_run, ntu, monkeypatch):
    first = evaluate_retrieval(setting(own_run, ntu))
    calls = []
    real = Features.everything

    def spy(self):
        calls.append(self)
        return real(self)

    monkeypatch.setattr(Features, "everything", spy)
    where = setting(own_run, ntu)
    assert evaluate_retrieval(where).rows == first.rows
    evaluate_linear(where, PROBE, quick=True, representation="seq+graph")
    assert not calls

    for path in (own_run / "features").iterdir():  # as another order of the store would have written them
        with np.load(path) as file:
            arrays = dict(file)
        order = np.random.default_rng(0).permutation(32)
        np.savez(path, **arrays | {"features": arrays["features"][order], "name": arrays["name"][order]})
    assert evaluate_retrieval(where).rows == first.rows
    assert not calls

    for path in (own_run / "features").iterdir():
        path.write_bytes(path.read_bytes()[:-100])
    assert evaluate_retrieval(where).rows == first.rows
    assert len(calls) >= 4


def test_features_of_other_weights_are_not_taken(own_run, ntu):
    first = evaluate_retrieval(setting(own_run, ntu), baselines=False)
    (own_run / "checkpoint-000003.pt").unlink()
    before = evaluate_retrieval(setting(own_run, ntu), baselines=False)
    assert (first.epoch, before.epoch) == (3, 2)
    assert before.rows[0].trials[0].similarity != first.rows[0].trials[0].similarity


@pytest.mark.parametrize(
    "change",
    [
        {"features": np.zeros(32, np.float32)},
        {"features": np.zeros((31, 16), np.float32)},
        {"features": np.zeros((32, 16))},
        {"features": np.full((32, 16), "x")},
        {"name": np.zeros(())},
        {"name": np.zeros((32, 1))},
    ],
)
def test_features_of_a_wrong_shape_or_type_are_computed_anew(change, own_run, ntu):
    first = evaluate_retrieval(setting(own_run, ntu), representation="seq")
    for path in (own_run / "features").iterdir():
        with np.load(path) as file:
            arrays = dict(file)
        np.savez(path, **arrays | change)
    assert evaluate_retrieval(setting(own_run, ntu), representation="seq").rows == first.rows


def test_a_result_that_is_not_finite_is_not_written(own_run, ntu):
    found = evaluate_retrieval(setting(own_run, ntu), representation="seq", baselines=False)
    before = found.path.read_bytes()
    with pytest.raises(
        SkelkitError, match=r"xsub-seq\.json: not written: some of its numbers are not finite"
    ):
        write(replace(found, chance=float("nan")))
    assert found.path.read_bytes() == before


def test_what_cannot_be_kept_costs_a_warning(own_run, ntu):
    where = setting(own_run, ntu)
    with (own_run / "features").open("w"), pytest.warns(match="the features will have to be computed again"):
        found = evaluate_retrieval(where, representation="seq", baselines=False)
    (own_run / "features").unlink()
    (own_run / "trials").write_text("")
    with pytest.warns(match="the finished training will have to be computed again"):
        trained = evaluate_semi(where, TUNE, shares=(20.0,), subsets=1, representation="seq")
    (own_run / "trials").unlink()
    assert evaluate_retrieval(where, representation="seq", baselines=False).rows == found.rows
    again = evaluate_semi(where, TUNE, shares=(20.0,), subsets=1, representation="seq")
    assert again.rows[0].top1 == trained.rows[0].top1
