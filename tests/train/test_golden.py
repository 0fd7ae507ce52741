"""Pretraining is the published one to the digit: what `pretrain` itself writes, from imported weights."""

from __future__ import annotations

import json
from dataclasses import replace

import numpy as np
import pytest
import torch
import torch.nn.functional as F

from skelkit.datasets import Protocol
from skelkit.normalise import RECIPES
from skelkit.sequence import SkeletonSequence
from skelkit.skeleton import load_layout
from skelkit.store import Header, write_store
from skelkit_train import contrast
from skelkit_train import pretrain as module
from skelkit_train.checkpoint import load_latest
from skelkit_train.config import PretrainConfig, resolve
from skelkit_train.data import batches
from skelkit_train.pretrain import pretrain
from skelkit_train.published import import_checkpoint

CPU = torch.device("cpu")
TRAINING = {"frames": 64, "bodies": 2, "batch_size": 8, "epochs": 5, "milestones": [], "checkpoint_every": 1}


def views(golden, name):
    """(N, T, M, V, C) of the golden (N, C, T, V, M)."""
    return golden[name].transpose(0, 2, 4, 3, 1)


@pytest.fixture
def store(golden, tmp_path):
    """The eight golden sequences, view1 and then view2 in 128 frames each."""
    path = tmp_path / "golden.h5"
    both = np.concatenate([views(golden, "view1"), views(golden, "view2")], axis=1)
    present = np.ones(both.shape[1:3], np.bool_)
    sequences = [
        SkeletonSequence(np.ascontiguousarray(joints), present, f"golden{n}", n, {"subject": 1})
        for n, joints in enumerate(both)
    ]
    protocols = {"xsub": Protocol("subject", frozenset([1]))}
    header = Header("golden", load_layout("ntu25"), RECIPES["isc"].describe(), (), protocols)
    write_store(path, sequences, header)
    return path


class Halves:
    """In place of the augmentation: view1 to the queries and view2 to the keys in even steps, the other way
    round in odd ones; an epoch is one step."""

    def draw(self, key, before):
        second = (key.epoch + key.view) % 2
        length = np.full(len(second), 64)
        return replace(before, start=64 * second, length=length, frames=64)


@pytest.fixture
def train(store, tmp_path, monkeypatch):
    """Runs `pretrain` on `store` from the weights of a published checkpoint; the run and the first logits."""

    def run(published):
        torch.save({"state_dict": published}, tmp_path / "published.pth.tar")
        imported = import_checkpoint(tmp_path / "published.pth.tar", tmp_path / "imported")
        start = load_latest(tmp_path / "imported")
        logits, real = [], contrast.info_nce

        def recorded(*arguments):
            result = real(*arguments)
            logits.append(result[1].detach())
            return result

        monkeypatch.setattr(contrast, "info_nce", recorded)
        monkeypatch.setattr(PretrainConfig, "augmentation", lambda _: Halves())
        monkeypatch.setattr(module, "build_model", lambda *_: start.restore_model(CPU))
        names = ("representations", "gru_hidden", "gru_layers", "agcn_widths", "embedding", "queue")
        sizes = {name: getattr(imported.config, name) for name in names}
        pretrain(store, tmp_path / "run", resolve(sizes, TRAINING), device=CPU, progress=False)
        return tmp_path / "run", logits

    return run


def losses(run, *terms):
    """(5, terms) of the run's five steps."""
    rows = [json.loads(line) for line in (run / "metrics.jsonl").read_text().splitlines()]
    return np.array([[row[f"loss {term}"] for term in terms] for row in rows])


def ordered(rows, epoch):
    """A batch's rows (8, ...) in the order of the golden sequences."""
    (order,) = batches(np.arange(8), 8, PretrainConfig().seed, epoch)
    return np.asarray(rows)[np.argsort(order)]


def normalised(published, *queues):
    for queue in queues:
        published[queue] = F.normalize(published[queue], dim=0)
    for query, key in (("encoder_q.", "encoder_k."), ("encoder_r.", "encoder_l.")):
        for name in [name for name in published if name.startswith(key)]:
            published[name] = published[name.replace(key, query)].clone()
    return published


def assert_agrees(actual, wanted, tolerance):
    np.testing.assert_allclose(actual, wanted, rtol=tolerance, atol=tolerance * np.abs(wanted).max())


def test_inter_pretraining_is_the_published_one(golden, formula_weights, train):
    published = formula_weights(golden["inter_params"])
    run, logits = train(normalised(published, "Queue_S1", "Queue_S2"))

    terms = ("seq>graph", "graph>seq")
    np.testing.assert_allclose(losses(run, *terms), golden["inter_losses"], rtol=1e-3)
    for rows, wanted in zip(logits[:2], ("inter_logits_seq", "inter_logits_graph"), strict=True):
        assert_agrees(ordered(rows, epoch=0), golden[wanted], 1e-4)
    model = load_latest(run).restore_model(CPU)
    for name, wanted in {"seq": "inter_queue_s1", "graph": "inter_queue_s2"}.items():
        keys = model.queues[name].keys.reshape(8, 8, 128)
        steps = [ordered(rows, epoch) if epoch < 5 else rows for epoch, rows in enumerate(keys)]
        assert_agrees(np.concatenate(steps), golden[wanted].T, 1e-3)
        assert int(model.queues[name].position) == 40


def test_intra_pretraining_is_the_published_one(golden, formula_weights, train):
    lines = [line for line in map(str, golden["inter_params"]) if line.startswith(("encoder_q", "encoder_k"))]
    published = formula_weights([*lines, "queue (128, 64)", "queue_ptr (1,)"])
    run, _ = train(normalised(published, "queue"))
    np.testing.assert_allclose(losses(run, "seq>seq")[:, 0], golden["intra_losses"], rtol=1e-3)


@pytest.mark.parametrize("name", ["seq", "graph", "image"])
def test_imported_encoder_gives_the_published_features_and_embeddings(
    name, golden, formula_weights, tmp_path
):
    published = formula_weights(golden[f"{name}_params"])
    torch.save(
        {f"encoder_q.{entry}": value for entry, value in published.items()}, tmp_path / "published.pth"
    )
    import_checkpoint(tmp_path / "published.pth", tmp_path / "run", representations=name)
    branch = load_latest(tmp_path / "run").restore_model(CPU).eval().query[name]

    view = torch.from_numpy(views(golden, "view1").copy())
    with torch.no_grad():
        features, embedding = branch.encoder(view), branch(view)

    assert_agrees(features, golden[f"{name}_features"], 1e-4)
    wanted = golden[f"{name}_embedding"]
    assert_agrees(embedding, wanted / np.linalg.norm(wanted, axis=1, keepdims=True), 1e-4)
