"""The encoders agree with the published ones, and work for any layout and number of bodies."""

from __future__ import annotations

import copy
from itertools import permutations

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from skelkit.skeleton import load_layout
from skelkit_train.contrast import ContrastiveModel
from skelkit_train.encoders import ENCODERS, AGCNEncoder, GRUEncoder, HCNEncoder
from skelkit_train.encoders.agcn import spatial_adjacency

NTU = load_layout("ntu25")
PUBLISHED = ("seq", "graph", "image")
SMALL = {"seq": {"hidden": 8}, "graph": {"widths": (8, 8, 16)}, "image": {"channels": 4}}


def small(name, layout="ntu25", bodies=2, frames=64):
    return ENCODERS[name](layout=load_layout(layout), bodies=bodies, frames=frames, **SMALL[name])


def views(layout="ntu25", bodies=2, frames=64, n=3, seed=0):
    shape = (n, frames, bodies, load_layout(layout).size, 3)
    return torch.randn(shape, generator=torch.Generator().manual_seed(seed))


def assert_agrees(actual: Tensor, wanted: np.ndarray):
    np.testing.assert_allclose(actual.detach(), wanted, rtol=1e-4, atol=1e-4 * np.abs(wanted).max())


@pytest.mark.parametrize("name", PUBLISHED)
def test_features_and_embeddings_are_those_of_the_published_models(name, golden, formula_weights):
    sizes = {"hidden": 64} if name == "seq" else {}
    encoder = ENCODERS[name](layout=NTU, bodies=2, frames=64, **sizes).eval()
    published = formula_weights(golden[f"{name}_params"])
    fc = {entry: published.pop(entry) for entry in ("fc.weight", "fc.bias")}
    encoder.load_state_dict(encoder.from_published(published))

    view = torch.from_numpy(golden["view1"]).permute(0, 2, 4, 3, 1)
    features = encoder(view)

    assert encoder.features == features.shape[1]
    assert_agrees(features, golden[f"{name}_features"])
    embedding = nn.functional.linear(features, fc["fc.weight"], fc["fc.bias"])
    assert_agrees(embedding, golden[f"{name}_embedding"])


@pytest.mark.parametrize("name", ENCODERS)
@pytest.mark.parametrize(
    ("layout", "bodies", "frames"), [("kinect20", 1, 64), ("coco17", 3, 64), ("ntu25", 2, 32)]
)
def test_any_layout_and_number_of_bodies_and_frames(name, layout, bodies, frames):
    encoder = small(name, layout, bodies, frames)
    features = encoder(views(layout, bodies, frames))
    assert features.shape == (3, encoder.features)


# A batch norm takes away whatever the convolution before it adds to a whole channel.
BEFORE_NORM = ("graph.mix.bias", "time.0.bias", "shortcut.0.bias")


@pytest.mark.parametrize(
    ("names", "layout"),
    [
        (("seq", "graph"), "ntu25"),
        (("seq", "image"), "ntu25"),
        (("graph", "image"), "ntu25"),
        (("seq", "graph", "image"), "ntu25"),
        (("seq", "graph", "image"), "kinect20"),
        (("seq", "graph", "image"), "coco17"),
    ],
)
def test_pairs_and_all_three_train_every_parameter(names, layout):
    torch.manual_seed(0)
    model = ContrastiveModel({name: small(name, layout) for name in names}, dim=8, queue_size=32).double()
    for name, parameter in model.query.named_parameters():
        if name.endswith("graph.norm.weight"):  # starts so close to 0 that what is before it hardly learns
            nn.init.ones_(parameter)
    query, key = views(layout, n=6).double(), views(layout, n=6, seed=1).double()
    again = copy.deepcopy(model)

    torch.manual_seed(1)  # dropout
    output = model(query, key)
    output.loss.backward()

    assert set(output.losses) == {f"{a}>{b}" for a, b in permutations(names, 2)}
    still = [name for name, p in model.query.named_parameters() if p.grad is None or p.grad.norm() < 1e-9]
    assert [name for name in still if not name.endswith(BEFORE_NORM)] == []
    with torch.no_grad():
        for ours, parameter in zip(again.query.parameters(), model.query.parameters(), strict=True):
            ours -= 1e-4 * parameter.grad
    torch.manual_seed(1)
    assert again(query, key).loss < output.loss


@pytest.mark.parametrize(("name", "features"), [("seq", 2048), ("graph", 256), ("image", 4096)])
def test_default_sizes_are_the_papers(name, features):
    assert ENCODERS[name](layout=NTU, bodies=2, frames=64).features == features


@pytest.mark.parametrize("name", ENCODERS)
def test_features_of_a_sequence_do_not_depend_on_its_batch(name):
    encoder = small(name).eval()
    batch = views(n=4)
    torch.testing.assert_close(encoder(batch)[1:2], encoder(batch[1:2]), rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("name", PUBLISHED)
def test_published_shapes_are_those_of_the_published_models(name, golden):
    sizes = {"hidden": 64} if name == "seq" else {}
    encoder = ENCODERS[name](layout=NTU, bodies=2, frames=64, **sizes)
    lines = sorted(f"{entry} {shape}" for entry, shape in encoder.published_shapes().items())
    assert lines == sorted(line for line in map(str, golden[f"{name}_params"]) if not line.startswith("fc."))


@pytest.mark.parametrize("name", PUBLISHED)
def test_foreign_entry_in_a_published_state_is_named(name):
    with pytest.raises(ValueError, match=r"decoder\.weight"):
        small(name).from_published({"decoder.weight": torch.zeros(1)})


# seq


def published_gru(seed=0):
    """A torch.nn.GRU as in the published encoder, and its state dict under the published names."""
    torch.manual_seed(seed)
    gru = nn.GRU(150, 8, num_layers=3, bidirectional=True, batch_first=True)
    return gru, {f"encoder.gru.{name}": value for name, value in gru.state_dict().items()}


def published_frames(view: Tensor) -> Tensor:
    """(N, T, M, V, C) -> (N, T, V C M), the order of the numbers in a published frame."""
    return view.permute(0, 1, 3, 4, 2).flatten(2)


def test_forward_gru_is_the_published_one_fed_frame_by_frame():
    gru, state = published_gru()
    encoder = GRUEncoder(layout=NTU, bodies=2, frames=12, hidden=8)
    encoder.load_state_dict(encoder.from_published(state))
    view = views(frames=12)

    hidden = torch.zeros(6, len(view), 8)
    for frame in published_frames(view).unbind(1):
        output, hidden = gru(frame[:, None], hidden)

    torch.testing.assert_close(encoder(view), output[:, 0])


def test_bidirectional_gru_is_torchs_and_ends_with_both_final_states():
    gru, state = published_gru()
    encoder = GRUEncoder(layout=NTU, bodies=2, frames=12, hidden=8, direction="bidirectional")
    encoder.load_state_dict(encoder.from_published(state))
    view = views(frames=12)

    _, hidden = gru(published_frames(view))

    torch.testing.assert_close(encoder(view), torch.cat((hidden[-2], hidden[-1]), dim=1))


def test_gru_matrices_start_xavier_uniform():
    encoder = GRUEncoder(layout=NTU, bodies=2, frames=64, hidden=32, layers=2)
    for name, parameter in encoder.named_parameters():
        if parameter.ndim == 2:
            bound = (6 / sum(parameter.shape)) ** 0.5
            assert 0.95 * bound < parameter.abs().max() <= bound, name


@pytest.mark.parametrize("wrong", [{"direction": "backward"}, {"hidden": 0}, {"layers": 0}])
def test_gru_refuses_wrong_sizes(wrong):
    with pytest.raises(ValueError, match=next(iter(wrong))):
        GRUEncoder(layout=NTU, bodies=2, frames=64, **wrong)


# graph


@pytest.mark.parametrize("layout", ["ntu25", "kinect20", "coco17"])
def test_adjacency_columns_sum_to_one_where_a_joint_has_neighbours(layout):
    layout = load_layout(layout)
    identity, inward, outward = spatial_adjacency(layout)
    parents = {parent for _, parent in layout.bones}
    children = {child for child, _ in layout.bones}

    assert torch.equal(identity, torch.eye(layout.size))
    assert inward.sum(0).tolist() == pytest.approx([float(joint in children) for joint in range(layout.size)])
    assert outward.sum(0).tolist() == pytest.approx([float(joint in parents) for joint in range(layout.size)])
    assert {(child, parent) for parent, child in inward.nonzero().tolist()} == set(layout.bones)
    assert {(child, parent) for child, parent in outward.nonzero().tolist()} == set(layout.bones)


def test_adjacency_is_not_saved_and_block_starts_without_its_graph_convolution():
    encoder = small("graph")
    assert "adjacency" not in encoder.state_dict()
    assert "adjacency" in dict(encoder.named_buffers())
    block = encoder.blocks[1]
    x = torch.rand(2, 8, 16, 25)
    torch.testing.assert_close(block.graph(x, encoder.adjacency), x, rtol=0, atol=1e-4)


def test_graph_convolution_is_the_sum_over_three_separate_subsets():
    torch.manual_seed(0)
    encoder = AGCNEncoder(layout=NTU, bodies=1, frames=8, widths=(8,))
    convolutions = {f"{ab}.{s}": nn.Conv2d(3, 8 if ab == "d" else 2, 1) for ab in "abd" for s in range(3)}
    learned = torch.randn(3, 25, 25)
    published = {"l1.gcn1.PA": learned} | {
        f"l1.gcn1.conv_{name}.{kind}": value
        for name, convolution in convolutions.items()
        for kind, value in convolution.state_dict().items()
    }
    encoder.load_state_dict(encoder.state_dict() | encoder.from_published(published))
    block = encoder.blocks[0].graph.eval()
    nn.init.ones_(block.norm.weight)

    x = torch.randn(2, 3, 8, 25)
    total = torch.zeros(2, 8, 8, 25)
    for s in range(3):
        theta, phi = convolutions[f"a.{s}"](x), convolutions[f"b.{s}"](x)
        similarity = torch.einsum("betv,betw->bvw", theta, phi) / (2 * 8)
        graph = similarity.softmax(dim=1) + spatial_adjacency(NTU)[s] + learned[s]
        total += convolutions[f"d.{s}"](torch.einsum("bctv,bvw->bctw", x, graph))
    wanted = torch.relu(block.norm(total) + block.shortcut(x))

    torch.testing.assert_close(block(x, encoder.adjacency), wanted, rtol=1e-4, atol=1e-5)


def test_graph_frames_halve_where_the_width_changes():
    encoder = AGCNEncoder(layout=NTU, bodies=1, frames=64)
    strides = [block.time[0].stride[0] for block in encoder.blocks]
    assert strides == [1, 1, 1, 1, 2, 1, 1, 2, 1, 1]


@pytest.mark.parametrize("widths", [(), (6,), (8, 0), (-4,)])
def test_graph_refuses_wrong_widths(widths):
    with pytest.raises(ValueError, match="multiples of 4"):
        AGCNEncoder(layout=NTU, bodies=2, frames=64, widths=widths)


# image


def test_image_features_do_not_depend_on_the_order_of_bodies():
    encoder = small("image", bodies=3).eval()
    view = views(bodies=3)
    torch.testing.assert_close(encoder(view[:, :, [2, 0, 1]]), encoder(view))


def test_image_features_are_the_largest_over_bodies():
    encoder = small("image").eval()
    view = views()
    alone = [encoder(view[:, :, body : body + 1]) for body in range(2)]
    torch.testing.assert_close(encoder(view), torch.maximum(*alone))


def test_image_sees_motion_apart_from_position():
    encoder = small("image").eval()
    still = views()[:, :1].expand(-1, 64, -1, -1, -1)
    with torch.no_grad():
        for parameter in encoder.position.parameters():
            parameter.zero_()
    torch.testing.assert_close(encoder(still), encoder(torch.zeros_like(still)))
    assert not torch.allclose(encoder(views()), encoder(still))


@pytest.mark.parametrize("frames", [0, 8, 63, 72])
def test_image_refuses_frames_it_cannot_halve_four_times(frames):
    with pytest.raises(ValueError, match=f"frames is {frames}"):
        HCNEncoder(layout=NTU, bodies=2, frames=frames)


def test_image_refuses_views_of_another_length():
    with pytest.raises(ValueError, match="built for 64"):
        small("image")(views(frames=32))
