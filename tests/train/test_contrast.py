"""The parts of the contrastive model are what they say; test_golden.py trains it as published."""

from __future__ import annotations

import copy
from collections import deque

import pytest
import torch
import torch.nn.functional as F
from torch import nn

from skelkit_train.contrast import ContrastiveModel, KeyQueue, ProjectionHead, contrastive_accuracy, info_nce


def unit(*shape, seed=0):
    return F.normalize(torch.randn(shape, generator=torch.Generator().manual_seed(seed)), dim=-1)


class Flat(nn.Module):
    """The smallest encoder: a linear map of all coordinates, then a batch norm."""

    def __init__(self, features):
        super().__init__()
        self.features = features
        self.layers = nn.Sequential(nn.Flatten(), nn.Linear(48, features), nn.BatchNorm1d(features))

    def forward(self, x):
        return self.layers(x)


def model(*names, **options):
    torch.manual_seed(0)
    encoders = {name: Flat(4 + i) for i, name in enumerate(names)}
    return ContrastiveModel(encoders, **{"dim": 6, "queue_size": 8} | options)


def batch(seed, n=5):
    return torch.randn(n, 4, 1, 4, 3, generator=torch.Generator().manual_seed(seed))


# The loss


def test_info_nce_is_the_cross_entropy_of_each_row():
    query, key, queue = unit(5, 6, seed=1), unit(5, 6, seed=2), unit(9, 6, seed=3)
    loss, logits = info_nce(query, key, queue, 0.2)

    rows = []
    for q, k in zip(query, key, strict=True):
        row = torch.stack([q @ k, *[q @ negative for negative in queue]]) / 0.2
        rows.append(F.cross_entropy(row[None], torch.tensor([0])))

    assert loss.shape == ()
    assert logits.shape == (5, 10)
    torch.testing.assert_close(loss, torch.stack(rows).mean())
    torch.testing.assert_close(logits[:, 0], (query * key).sum(1) / 0.2)


def test_info_nce_is_float32_under_autocast():
    arguments = unit(4, 6, seed=1), unit(4, 6, seed=2), unit(9, 6, seed=3), 0.07
    _, wanted = info_nce(*arguments)
    with torch.autocast("cpu", dtype=torch.bfloat16):
        _, logits = info_nce(*arguments)
    assert torch.equal(logits, wanted)


def test_accuracy_counts_rows_won_by_the_positive_and_no_ties():
    logits = torch.tensor([[3.0, 1.0, 2.0], [1.0, 2.0, 0.0], [2.0, 2.0, 2.0], [0.1, 0.0, -1.0]])
    assert contrastive_accuracy(logits) == 0.5


def test_head_gives_unit_length_in_float32():
    head = ProjectionHead(6, 3)
    assert [tuple(p.shape) for p in head.parameters()] == [(6, 6), (6,), (3, 6), (3,)]
    with torch.autocast("cpu", dtype=torch.bfloat16):
        embedding = head(torch.randn(4, 6))
    assert embedding.dtype == torch.float32
    torch.testing.assert_close(embedding.norm(dim=1), torch.ones(4))


# The queue


@pytest.mark.parametrize("sizes", [[3, 3, 3, 3], [7, 1, 2], [8, 5], [20, 3, 11, 2], [0, 7, 0, 1]])
def test_queue_holds_the_last_keys_like_a_deque(sizes):
    queue = KeyQueue(7, 4)
    plain = deque(queue.keys.tolist(), maxlen=7)
    for seed, n in enumerate(sizes):
        keys = unit(n, 4, seed=seed)
        queue.enqueue(keys)
        plain.extend(keys.tolist())
        position = int(queue.position)
        assert queue.keys[position:].tolist() + queue.keys[:position].tolist() == list(plain)


def test_queue_starts_with_unit_rows_of_its_generator():
    queue = KeyQueue(7, 4, torch.Generator().manual_seed(3))
    torch.testing.assert_close(queue.keys.norm(dim=1), torch.ones(7))
    assert torch.equal(queue.keys, KeyQueue(7, 4, torch.Generator().manual_seed(3)).keys)


@pytest.mark.parametrize("sizes", [(0, 4), (7, 0), (-1, 4)])
def test_queue_refuses_sizes_below_one(sizes):
    with pytest.raises(ValueError, match="at least 1"):
        KeyQueue(*sizes)


# The model


@pytest.mark.parametrize(
    ("names", "terms"),
    [
        (["seq"], {"seq>seq"}),
        (["seq", "graph"], {"seq>graph", "graph>seq"}),
        (
            ["seq", "graph", "image"],
            {"seq>graph", "graph>seq", "seq>image", "image>seq", "graph>image", "image>graph"},
        ),
    ],
)
def test_loss_is_the_sum_over_all_pairs(names, terms):
    m = model(*names, temperature=0.3)
    queues = {name: m.queues[name].keys.clone() for name in names}
    key = {name: copy.deepcopy(m.key[name])(batch(2)) for name in names}
    query = {name: copy.deepcopy(m.query[name])(batch(1)) for name in names}
    wanted = {}
    for term in terms:
        a, b = term.split(">")
        wanted[term] = info_nce(query[a], key[b], queues[b], 0.3)[0].detach()

    output = m(batch(1), batch(2))

    assert set(output.losses) == set(output.accuracies) == terms
    for term in terms:
        torch.testing.assert_close(output.losses[term], wanted[term])
        assert not output.losses[term].requires_grad
        assert 0 <= output.accuracies[term] <= 1
    torch.testing.assert_close(output.loss, sum(wanted.values()))
    for name in names:
        torch.testing.assert_close(m.queues[name].keys[:5], key[name])
        assert torch.equal(m.queues[name].keys[5:], queues[name][5:])


@pytest.mark.parametrize("names", [["seq"], ["seq", "graph"], ["seq", "graph", "image"]])
def test_without_queues_the_other_sequences_of_the_batch_are_the_negatives(names):
    m = model(*names, temperature=0.3, queue_size=0)
    both = torch.cat([batch(1), batch(2)])  # sequence i is in rows i and 5 + i
    twin = copy.deepcopy(m.query)
    rows = {name: twin[name](both) for name in names}
    pairs = [(a, b) for a in names for b in names if a != b] or [("seq", "seq")]
    total = 0
    for a, b in pairs:
        losses = []
        for i in range(10):
            key = rows[b].detach()
            others = [rows[a][i] @ key[j] for j in range(10) if j % 5 != i % 5]
            logits = torch.stack([rows[a][i] @ key[(i + 5) % 10], *others]) / 0.3
            losses.append(F.cross_entropy(logits[None], torch.tensor([0])))
        total = total + torch.stack(losses).mean()

    output = m(batch(1), batch(2))

    assert set(output.losses) == {f"{a}>{b}" for a, b in pairs}
    torch.testing.assert_close(output.loss, total)
    assert not any(name.startswith(("key", "queues")) for name in m.state_dict())
    output.loss.backward()
    total.backward()
    for ours, wanted in zip(m.query.parameters(), twin.parameters(), strict=True):
        torch.testing.assert_close(ours.grad, wanted.grad, rtol=1e-4, atol=1e-6)


def test_all_query_encoders_and_no_key_encoder_get_gradients():
    m = model("seq", "graph")
    m(batch(1), batch(2)).loss.backward()
    assert all(parameter.grad is not None for parameter in m.query.parameters())
    assert all(p.grad is None and not p.requires_grad for p in m.key.parameters())


def test_key_encoders_start_equal_and_move_by_one_minus_momentum_before_the_keys():
    m = model("seq", "graph", momentum=0.9)
    for key, query in zip(m.key.parameters(), m.query.parameters(), strict=True):
        assert torch.equal(key, query)
        with torch.no_grad():
            query.add_(1.0)
    before = copy.deepcopy(m)
    m(batch(1), batch(2))

    moved = copy.deepcopy(before.key)
    with torch.no_grad():
        for key in moved.parameters():
            key.add_(0.1)
    for key, wanted in zip(m.key.parameters(), moved.parameters(), strict=True):
        torch.testing.assert_close(key, wanted)
    torch.testing.assert_close(m.queues["seq"].keys[:5], moved["seq"](batch(2)))


def test_key_encoders_keep_their_own_batch_statistics():
    m = model("seq")
    m(batch(1), batch(2))
    query, key = (branches["seq"].encoder.layers[2] for branches in (m.query, m.key))
    assert int(query.num_batches_tracked) == int(key.num_batches_tracked) == 1
    assert not torch.allclose(query.running_mean, key.running_mean)


def test_training_goes_on_from_a_saved_state_as_if_never_stopped():
    def train(m, steps):
        sgd = torch.optim.SGD(m.query.parameters(), lr=0.1)
        losses = []
        for step in steps:
            output = m(batch(2 * step), batch(2 * step + 1))
            sgd.zero_grad()
            output.loss.backward()
            sgd.step()
            losses.append(output.loss.item())
        return losses

    whole = model("seq", "graph", momentum=0.9)
    wanted = train(whole, range(6))
    first = model("seq", "graph", momentum=0.9)
    losses = train(first, range(3))
    second = model("seq", "graph", momentum=0.9, generator=torch.Generator().manual_seed(99))
    second.load_state_dict(first.state_dict())
    losses += train(second, range(3, 6))

    assert losses == wanted
    other = second.state_dict()
    assert all(torch.equal(value, other[name]) for name, value in whole.state_dict().items())


def test_encoder_is_the_query_encoder_without_head():
    m = model("seq", "graph")
    assert m.encoder("graph") is m.query["graph"].encoder
    assert m.encoder("graph")(batch(1)).shape == (5, 5)
    with pytest.raises(KeyError):
        m.encoder("image")


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"momentum": 1.5}, "momentum is 1.5"),
        ({"temperature": 0}, "temperature is 0"),
        ({"queue_size": -1}, "queue_size is -1; expected 0 or more"),
    ],
)
def test_model_refuses_wrong_options(options, message):
    with pytest.raises(ValueError, match=message):
        model("seq", **options)


def test_model_refuses_no_encoders_and_encoders_of_unknown_size():
    with pytest.raises(ValueError, match="at least one encoder"):
        ContrastiveModel({})
    with pytest.raises(TypeError, match=r"Linear\.features"):
        ContrastiveModel({"seq": nn.Linear(3, 3)})
