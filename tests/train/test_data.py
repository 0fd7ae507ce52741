"""Views are the same wherever and in whatever company they are made; an epoch's order depends on its key."""

from __future__ import annotations

import naive
import numpy as np
import pytest
import torch

from skelkit.augment import ISC, CentreCrop, Compose, Crop, JointJitter, OneOf, Resample, Rotation, Shear
from skelkit.store import Store
from skelkit.views import DrawKey, identity, make_views
from skelkit_train.data import Sequences, batches, make_views_torch

CPU = torch.device("cpu")
SPATIAL = Compose((Crop(0.3, 1.0, 4), Resample(24), OneOf((Shear(), JointJitter(), Rotation()))))


def load(path, bodies=2):
    with Store(path) as store:
        return Sequences.load(store, bodies, CPU)


@pytest.fixture(params=["ntu", "kinect"])
def store(request):
    return request.getfixturevalue(request.param)


@pytest.mark.parametrize("transform", [ISC, SPATIAL, Compose((CentreCrop(), Resample(16)))])
@pytest.mark.parametrize("bodies", [1, 2, 3])
def test_torch_and_numba_make_the_same_views(store, transform, bodies):
    data = load(store)
    places = np.random.default_rng(0).permutation(len(data.label))
    assert data.frames.min() == 1
    assert set(data.bodies) == {1, 2}
    parameters = transform.draw(
        DrawKey(3, 5, places, np.zeros_like(places)), identity(data.frames[places], data.rows.shape[1])
    )
    arguments = data.offset[places], data.bodies[places], parameters
    wanted = make_views(data.rows.numpy(), *arguments, max_bodies=bodies)

    views = make_views_torch(data.rows, *arguments, max_bodies=bodies)

    assert views.dtype == torch.float32
    np.testing.assert_allclose(views, wanted, rtol=0, atol=1e-5)
    for view, there in zip(views, data.bodies[places], strict=True):
        assert not view[:, there:].any()
        assert view[:, :there].any()


def test_views_are_what_the_slow_twin_makes_of_the_stored_sequences(ntu):
    data = load(ntu)
    places = np.array([5, 0, 1, 30])
    views = data.views(places, Compose((CentreCrop(0.5), Resample(16))), seed=0)
    with Store(ntu) as store:
        for view, place in zip(views, places, strict=True):
            joints = store.sequence(place).joints
            start = int(len(joints) * 0.5 / 2)
            wanted = naive.resample(naive.crop(joints, start, len(joints) - 2 * start), 16)
            np.testing.assert_allclose(view[:, : joints.shape[1]], wanted, atol=1e-5)


def test_a_view_does_not_depend_on_its_batch(ntu):
    data = load(ntu)
    places = np.arange(len(data.label))
    order = np.random.default_rng(1).permutation(places)
    together = data.views(places, ISC, seed=4, epoch=9, view=1)
    assert torch.equal(data.views(order, ISC, seed=4, epoch=9, view=1), together[order])
    for place in order[:5]:
        alone = data.views(np.array([place]), ISC, seed=4, epoch=9, view=1)[0]
        assert torch.equal(alone, together[place])


@pytest.mark.parametrize("other", [{"seed": 5}, {"epoch": 1}, {"view": 1}])
def test_views_differ_by_seed_epoch_and_view(ntu, other):
    data = load(ntu)
    places = np.arange(len(data.label))
    key = {"seed": 0, "epoch": 0, "view": 0}
    views, others = data.views(places, ISC, **key), data.views(places, ISC, **key | other)
    assert not (views == others).flatten(1).all(dim=1).any()


def test_views_of_their_own_lengths_are_refused():
    parameters = Crop().draw(DrawKey(0, 0, np.array([0]), np.array([0])), identity(np.array([9]), 2))
    with pytest.raises(ValueError, match="end the augmentation in a resampling"):
        make_views_torch(torch.zeros(9, 2, 3), np.array([0]), np.array([1]), parameters, max_bodies=1)


def test_torch_keeps_its_number_of_threads(ntu, monkeypatch):
    # The first loop of numba in a process does this where both use OpenMP.
    def make(*arguments, **options):
        torch.set_num_threads(2)
        return make_views(*arguments, **options)

    monkeypatch.setattr("skelkit_train.data.make_views", make)
    data = load(ntu)
    assert torch.get_num_threads() == 1
    data.views(np.array([0]), ISC, seed=0)
    assert torch.get_num_threads() == 1


# Batches


def test_the_incomplete_last_batch_can_be_kept():
    found = list(batches(np.arange(23), 5, seed=0, epoch=0, keep_last=True))
    assert [len(batch) for batch in found] == [5, 5, 5, 5, 3]
    assert sorted(np.concatenate(found)) == list(range(23))


def test_batches_are_a_permutation_without_the_incomplete_last_one():
    places = np.arange(100, 123)
    found = list(batches(places, 5, seed=0, epoch=0))
    assert [len(batch) for batch in found] == [5, 5, 5, 5]
    seen = np.concatenate(found)
    assert len(set(seen)) == 20
    assert set(seen) <= set(places)
    whole = np.concatenate(list(batches(places, 23, seed=0, epoch=0)))
    assert sorted(whole) == list(places)
    assert list(whole) != list(places)


def test_batches_leave_out_others_each_epoch():
    left_out = {
        int(np.setdiff1d(np.arange(11), np.concatenate(list(batches(np.arange(11), 10, 0, epoch))))[0])
        for epoch in range(60)
    }
    assert len(left_out) > 7


def test_batches_depend_on_seed_and_epoch_alone():
    def order(seed, epoch, size=4):
        return np.concatenate(list(batches(np.arange(20), size, seed, epoch))).tolist()

    first = order(1, 2)
    np.random.default_rng().random()
    torch.rand(1)
    assert order(1, 2) == first == order(1, 2, size=10)
    assert order(2, 2) != first != order(1, 3)
    assert order(2, 1) != first


def test_fewer_samples_than_a_batch_are_one_batch():
    assert [sorted(batch) for batch in batches(np.array([7, 3, 5]), 8, seed=0, epoch=0)] == [[3, 5, 7]]
