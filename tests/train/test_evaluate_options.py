"""Evaluations do what their options say, and take nothing for theirs that another store, protocol or way has
left in the run."""

from __future__ import annotations

import json
from dataclasses import replace

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from runs import PROBE, TUNE, invoke, setting

from skelkit.datasets import Protocol
from skelkit.store import Header, Store, write_store
from skelkit_train.evaluate import tasks
from skelkit_train.evaluate.linear import logistic
from skelkit_train.evaluate.retrieval import ranked, retrieval
from skelkit_train.evaluate.tasks import evaluate_linear, evaluate_retrieval, evaluate_semi

BOTH = "seq+graph"


@pytest.fixture
def turned(ntu, tmp_path):
    """`ntu` with the same names, and other joints."""
    protocols = {"xsub": Protocol("subject", frozenset([1, 2, 3]))}
    with Store(ntu) as store:
        header = Header(store.dataset, store.layout, store.recipe, store.classes, protocols)
        sequences = [replace(sequence, joints=-3 * sequence.joints[::-1]) for sequence in store]
        write_store(tmp_path / "turned.h5", sequences, header)
    return tmp_path / "turned.h5"


def probed(where, **options):
    return evaluate_linear(where, PROBE, representation="seq", baselines=False, **options).rows[0].trials[0]


def retrieved(where, **options):
    return evaluate_retrieval(where, representation=BOTH, baselines=False, **options).rows[0].trials[0]


def features(where):
    return where.features(where.candidates(BOTH, "pretrained")[0].encoder(0))


# What another evaluation has left


def test_features_of_another_store_with_the_same_names_are_not_taken(own_run, ntu, turned):
    first = retrieved(setting(own_run, ntu))
    assert retrieved(setting(own_run, turned)).similarity != first.similarity


@pytest.mark.filterwarnings("ignore:.*was pretrained")
def test_trainings_of_another_store_protocol_part_or_way_are_not_taken(own_run, ntu, turned):
    probed(setting(own_run, ntu))
    assert probed(setting(own_run, ntu)).recalled
    assert not probed(setting(own_run, ntu), quick=True).recalled
    assert not probed(setting(own_run, ntu, "subject:1-2,4")).recalled
    assert not probed(setting(own_run, turned)).recalled
    held = probed(setting(own_run, ntu, subjects=1))
    assert held.validation
    assert held.train == 16


# Retrieval


def test_k_is_the_number_of_neighbours(own_run, ntu):
    where = setting(own_run, ntu)
    wanted = {
        k: retrieval(features(where), where.train, where.held_out["test"], k=k).predicted
        for k in range(1, 24)
    }
    k = next(k for k in wanted if wanted[k] != wanted[1])
    assert retrieved(where, k=k).predicted == wanted[k]


def test_validation_is_of_the_subjects_held_out(own_run, ntu):
    where = setting(own_run, ntu, subjects=1)
    shares = {
        k: [retrieval(features(where), where.train, part, k=k).top1 for part in where.held_out.values()]
        for k in range(1, 16)
    }
    k = next(k for k, (test, validation) in shares.items() if test != validation)
    assert retrieved(where, k=k).validation["top1"] == shares[k][1]


def test_fused_scores_are_the_mean_of_cosines(own_run, ntu):
    where = setting(own_run, ntu)
    parts = [where.features(where.trained.encoder(name)) for name in ("seq", "graph")]
    cosines = [
        F.normalize(part.centre(where.held_out["test"])) @ F.normalize(part.centre(where.train)).T
        for part in parts
    ]
    wanted = (sum(cosines) / 2).amax(dim=1)
    assert retrieved(where, fusion="scores").similarity == pytest.approx(wanted.tolist(), abs=1e-5)


def test_every_seed_compresses_anew(own_run, ntu, monkeypatch):
    seeds = []

    def spy(train, test, config, **_):
        seeds.append(config.seed)
        return train, test

    monkeypatch.setattr(tasks, "compress", spy)
    retrieved(setting(own_run, ntu), compressed=True, seed=4, seeds=2)
    assert seeds == [4, 5]
    seeds.clear()
    retrieved(setting(own_run, ntu))
    assert not seeds


# Numbers


def test_top_5_of_retrieval_are_the_five_nearest():
    gallery = torch.eye(6)
    query = gallery[:1] + 0.1 * torch.arange(6)
    found = ranked(gallery, query, torch.arange(6), torch.tensor([4]), np.arange(6))
    assert (found.top1, found.top5) == (0.0, 1.0)


def test_top_5_of_a_classifier_is_told_of_row_and_training(own_run, make_store, tmp_path):
    where = setting(own_run, make_store(tmp_path / "seven.h5", classes=7, repeats=4))
    (row,) = evaluate_linear(where, PROBE, representation="seq", baselines=False, quick=True).rows
    test = where.held_out["test"]
    seq = where.features(where.trained.encoder("seq"))
    logits = logistic(seq.centre(where.train), seq.labels(where.train), {"test": seq.centre(test)})["test"]
    right = (logits.topk(5).indices == seq.labels(test)[:, None]).any(dim=1).double().mean()
    assert row.top5 == row.trials[0].top5 == float(right) > row.top1


def test_deviations_in_the_table_are_percent(own_run, ntu):
    found = evaluate_linear(setting(own_run, ntu), PROBE, representation="seq", seeds=3)
    lines = found.table().splitlines()
    for row in found.rows:
        line = next(line for line in lines if line.startswith(f"  {row.title} "))
        assert f"{row.top1:.1%} ±{100 * row.deviation['top1']:.1f} " in line
    assert any(row.deviation["top1"] > 0.01 for row in found.rows)


# What is drawn


def test_subjects_and_labels_are_drawn_by_the_seed(own_run, ntu):
    held = {tuple(setting(own_run, ntu, subjects=1, seed=seed).subjects) for seed in range(8)}
    assert len(held) > 1
    where = setting(own_run, ntu)
    drawn = [
        evaluate_semi(where, replace(TUNE, seed=seed), shares=(20.0,), subsets=1, representation="seq")
        for seed in (0, 1)
    ]
    subsets = [json.loads((own_run / each.subset_files[0]).read_text())["subsets"] for each in drawn]
    assert subsets[0] != subsets[1]


# The command


def test_options_of_the_command_arrive(own_run, ntu):
    fixed = ["--protocol", "xsub", "--representation", "seq", "--device", "cpu", "--json"]

    def told(task, *options):
        return json.loads(invoke("eval", task, own_run, ntu, *fixed, *options).stdout)

    tuned = ("--epochs", 2, "--learning-rate", 0.5)
    semi = told("semi", "--share", 20, "--subsets", 1, *tuned)["settings"]
    assert (semi["epochs"], semi["learning_rate"], semi["shares"], semi["subsets"]) == (2, 0.5, [20.0], 1)
    for task in ("finetune", "supervised"):
        settings = told(task, "--score-every", 1, *tuned)["settings"]
        assert (settings["epochs"], settings["learning_rate"], settings["score_every"]) == (2, 0.5, 1)
    for options, recalled in ((), False), ((), True), (("--fresh",), False):
        found = told("linear", "--epochs", 1, "--no-baselines", *options)
        assert found["rows"][0]["trials"][0]["recalled"] == recalled
