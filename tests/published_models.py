"""State dicts and checkpoints as the paper's published code writes them, in small sizes."""

from __future__ import annotations

import pytest
import torch.nn.functional as F

from skelkit.errors import SkelkitError
from skelkit_train.published import import_checkpoint

SIZES = {"seq": {"hidden": 8, "layers": 2}, "graph": {"widths": (8, 16)}, "image": {"channels": 4}}


FEATURES = {"seq": 16, "graph": 16, "image": 16}


FRAMES, DIM, QUEUE = 16, 12, 24


def gru_lines(joints=25):
    for layer, size in enumerate((2 * joints * 3, 16)):
        for direction in ("", "_reverse"):
            yield f"encoder.gru.weight_ih_l{layer}{direction} (24, {size})"
            yield f"encoder.gru.weight_hh_l{layer}{direction} (24, 8)"
            yield f"encoder.gru.bias_ih_l{layer}{direction} (24,)"
            yield f"encoder.gru.bias_hh_l{layer}{direction} (24,)"


def norm_lines(name, size):
    for kind in ("weight", "bias", "running_mean", "running_var"):
        yield f"{name}.{kind} ({size},)"
    yield f"{name}.num_batches_tracked ()"


def convolution_lines(name, after, before, kernel=1):
    return [f"{name}.weight ({after}, {before}, {kernel}, 1)", f"{name}.bias ({after},)"]


def agcn_lines(joints=25):
    yield from norm_lines("data_bn", 2 * joints * 3)
    for block, (before, after) in {"l1": (3, 8), "l2": (8, 16)}.items():
        yield f"{block}.gcn1.PA (3, {joints}, {joints})"
        for s in range(3):
            yield from convolution_lines(f"{block}.gcn1.conv_a.{s}", after // 4, before)
            yield from convolution_lines(f"{block}.gcn1.conv_b.{s}", after // 4, before)
            yield from convolution_lines(f"{block}.gcn1.conv_d.{s}", after, before)
        yield from norm_lines(f"{block}.gcn1.bn", after)
        yield from convolution_lines(f"{block}.gcn1.down.0", after, before)
        yield from norm_lines(f"{block}.gcn1.down.1", after)
        yield from convolution_lines(f"{block}.tcn1.conv", after, after, 9)
        yield from norm_lines(f"{block}.tcn1.bn", after)
    yield from convolution_lines("l2.residual.conv", 16, 8)
    yield from norm_lines("l2.residual.bn", 16)


def hcn_lines(joints=25):
    for stream in ("", "m"):
        yield from convolution_lines(f"conv1{stream}.0", 4, 3)
        yield from convolution_lines(f"conv2{stream}", FRAMES, 4, 3)
        yield from [f"conv3{stream}.0.weight (2, {joints}, 3, 3)", f"conv3{stream}.0.bias (2,)"]
        yield from [f"conv4{stream}.0.weight (4, 2, 3, 3)", f"conv4{stream}.0.bias (4,)"]
    yield from ["conv5.0.weight (8, 8, 3, 3)", "conv5.0.bias (8,)"]
    yield from ["conv6.0.weight (16, 8, 3, 3)", "conv6.0.bias (16,)"]


LINES = {"seq": gru_lines, "graph": agcn_lines, "image": hcn_lines}


def head_lines(features, head):
    if head == "mlp":
        yield from [f"fc.0.weight ({features}, {features})", f"fc.0.bias ({features},)"]
        yield from [f"fc.2.weight ({DIM}, {features})", f"fc.2.bias ({DIM},)"]
    elif head == "linear":
        yield from [f"fc.weight ({DIM}, {features})", f"fc.bias ({DIM},)"]


def state_dict(weights, representations, head="mlp", joints=25):
    """Without ``module.``; ``weights`` makes the numbers, as the fixture `formula_weights`."""
    names = representations.split("+")
    prefixes = [("encoder_q", "encoder_k"), ("encoder_r", "encoder_l")]
    ends = ["_S1", "_S2"] if len(names) == 2 else [""]
    lines = []
    for name, pair, end in zip(names, prefixes, ends, strict=False):
        own = [*LINES[name](joints), *head_lines(FEATURES[name], head)]
        lines += [f"{prefix}.{line}" for prefix in pair for line in own]
        queue = f"Queue{end}" if end else "queue"
        lines += [f"{queue} ({DIM}, {QUEUE})", f"queue_ptr{end} (1,)"]
    state = weights(lines)
    for end in ends:
        queue = f"Queue{end}" if end else "queue"
        state[queue] = F.normalize(state[queue], dim=0)
        state[f"queue_ptr{end}"] += 8
    return state


def refusal(path, run, **options):
    """The one line of an import that fails and leaves nothing."""
    with pytest.raises(SkelkitError) as caught:
        import_checkpoint(path, run, **options)
    assert "\n" not in str(caught.value)
    assert not run.exists()
    return str(caught.value)
