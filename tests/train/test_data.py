"""Views are the same wherever and in whatever company they are made; an epoch's order depends on its key."""

from __future__ import annotations

from dataclasses import replace

import naive
import numpy as np
import pytest
import torch
from draws import SMALL, a_sequence, chain, come_and_go, compositions, drawn
from hypothesis import given, settings
from hypothesis import strategies as st

from skelkit.augment import AUGMENTATIONS, ISC, CentreCrop, Compose, Resample, Shear
from skelkit.store import Store
from skelkit.views import STREAMS, DrawKey, identity, make_views, to_stream
from skelkit_train.data import Sequences, batches, make_views_torch, to_stream_torch

CPU = torch.device("cpu")
ON_FRAMES_MADE = ("noise", "blur", "mask")


def resampled(name, frames=24):
    """An augmentation by its name, in a composition that resamples."""
    parts = (AUGMENTATIONS[name], Resample(frames))
    if name in ("isc", "resample"):
        return AUGMENTATIONS[name]
    return Compose(parts[::-1] if name in ON_FRAMES_MADE else parts)


def load(path, bodies=2):
    with Store(path) as store:
        return Sequences.load(store, bodies, CPU)


@pytest.fixture(params=["ntu", "kinect"])
def store(request):
    return request.getfixturevalue(request.param)


@pytest.mark.parametrize("name", [*AUGMENTATIONS, "centre crop"])
@pytest.mark.parametrize("bodies", [1, 2, 3])
def test_torch_and_numba_make_the_same_views(store, name, bodies):
    data = load(store)
    places = np.random.default_rng(0).permutation(len(data.label))
    assert data.frames.min() == 1
    assert set(data.bodies) == {1, 2}
    transform = Compose((CentreCrop(), Resample(16))) if name == "centre crop" else resampled(name)
    key = DrawKey(3, 5, places, np.zeros_like(places))
    parameters = transform.draw(key, identity(data.frames[places], data.layout, bodies))
    arguments = data.offset[places], data.bodies[places], parameters
    wanted = make_views(data.rows.numpy(), *arguments)

    views = make_views_torch(data.rows, *arguments)

    assert views.dtype == torch.float32
    np.testing.assert_allclose(views, wanted, rtol=0, atol=1e-5)
    for view, there in zip(views, data.bodies[places], strict=True):
        assert not view[:, there:].any()
        assert view[:, :there].any()


@settings(deadline=None, max_examples=40)
@given(
    shapes=st.lists(st.tuples(st.integers(1, 60), st.integers(1, 3)), min_size=1, max_size=5),
    transform=compositions(9),
    seed=st.integers(0, 2**32),
    bodies=st.integers(1, 3),
)
def test_torch_and_numba_agree_on_whatever_can_be_composed(shapes, transform, seed, bodies):
    rows = np.concatenate(
        [a_sequence(t, m, 5, n).joints.reshape(-1, 5, 3) for n, (t, m) in enumerate(shapes)]
    )
    frames, stored = np.array(shapes).T
    offset = np.cumsum([0, *(frames * stored)[:-1]])
    key = DrawKey(seed, 0, np.arange(len(shapes)), np.zeros(len(shapes), np.int64))
    arguments = offset, stored, transform.draw(key, identity(frames, SMALL, bodies))
    views = make_views_torch(torch.from_numpy(rows), *arguments)
    np.testing.assert_allclose(views, make_views(rows, *arguments), rtol=0, atol=1e-5)


@pytest.mark.parametrize("name", AUGMENTATIONS)
def test_torch_and_numba_agree_on_one_who_comes_and_goes(name):
    rows = come_and_go(5).joints.reshape(-1, 5, 3)
    arguments = np.array([0]), np.array([2]), drawn(resampled(name, 8), 1, 8, SMALL, bodies=2)
    views = make_views_torch(torch.from_numpy(rows), *arguments)
    np.testing.assert_allclose(views, make_views(rows, *arguments), rtol=0, atol=1e-5)


@pytest.mark.parametrize("name", AUGMENTATIONS)
def test_torch_and_numba_agree_on_a_single_joint_and_frame(name):
    rows = a_sequence(1, joints=1).joints[0]
    arguments = np.array([0]), np.array([1]), drawn(resampled(name), 1, 1, chain(1))
    views = make_views_torch(torch.from_numpy(rows), *arguments)
    np.testing.assert_allclose(views, make_views(rows, *arguments), rtol=0, atol=1e-5)


@pytest.mark.parametrize("stream", STREAMS)
def test_views_are_given_as_any_stream(store, stream):
    data = load(store)
    places = np.arange(len(data.label))
    views = data.views(places, ISC, seed=2)
    found = data.views(places, ISC, seed=2, stream=stream)
    assert torch.equal(found, torch.from_numpy(to_stream(views.numpy(), stream, data.layout)))
    assert torch.equal(found, to_stream_torch(views, stream, data.layout))
    assert torch.equal(found, views) == (stream == "joint")


def test_a_stream_that_is_none(ntu):
    with pytest.raises(ValueError, match="no stream 'bones'; expected joint, bone, motion"):
        load(ntu).views(np.array([0]), ISC, seed=0, stream="bones")
    with pytest.raises(ValueError, match="no stream 'bones'; expected joint, bone, motion"):
        to_stream_torch(torch.zeros(1, 2, 1, 5, 3), "bones", SMALL)


@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a GPU")
@pytest.mark.parametrize("name", AUGMENTATIONS)
def test_views_on_the_gpu_are_the_same_and_wait_for_nothing(ntu, name):
    data = load(ntu)
    places = np.arange(len(data.label))
    transform = resampled(name)
    there = replace(data, rows=data.rows.cuda())
    torch.cuda.set_sync_debug_mode("error")
    try:
        views = [there.views(places, transform, seed=1, stream=stream) for stream in STREAMS]
    finally:
        torch.cuda.set_sync_debug_mode("default")
    for stream, found in zip(STREAMS, views, strict=True):
        wanted = data.views(places, transform, seed=1, stream=stream)
        np.testing.assert_allclose(found.cpu(), wanted, rtol=0, atol=1e-5)


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
    two = np.array([0, 0]), np.array([1, 1])
    with pytest.raises(ValueError, match="end the augmentation in a resampling"):
        make_views_torch(torch.zeros(9, 5, 3), *two, drawn(Shear(), 2, 9, SMALL))


def test_rows_that_do_not_hold_the_sequences():
    with pytest.raises(ValueError, match="8 rows do not hold the sequences"):
        make_views_torch(torch.zeros(8, 5, 3), np.array([0]), np.array([1]), drawn(Resample(4), 1, 9, SMALL))


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


def test_the_order_is_that_of_numpys_generator_keyed_by_seed_and_epoch():
    bits = np.random.Philox(key=[1, 2], counter=[0, 0, 0, 2**63])
    wanted = np.random.Generator(bits).permutation(np.arange(9))
    assert np.concatenate(list(batches(np.arange(9), 3, seed=1, epoch=2))).tolist() == wanted.tolist()


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
