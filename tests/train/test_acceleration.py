"""What makes a run faster or smaller computes the same: streamed data, bfloat16, compiled encoders."""

from __future__ import annotations

import shutil
import threading
from dataclasses import replace
from types import SimpleNamespace

import numpy as np
import pytest
import torch
from runs import CPU, assert_same_run, metrics, train

from skelkit.augment import ISC
from skelkit.errors import SkelkitError, StoreError
from skelkit.store import Store
from skelkit_train import data as data_module
from skelkit_train import pretrain as module
from skelkit_train.acceleration import backward, compile_encoders, is_compiled, is_mixed, make_optimizer
from skelkit_train.checkpoint import DataFacts, build_model, load_latest
from skelkit_train.data import Sequences, fits
from skelkit_train.prefetch import prefetched
from skelkit_train.pretrain import pretrain

CUDA = torch.device("cuda")
ALL = "seq+graph+image"


# Streamed data


@pytest.mark.parametrize("bodies", [1, 2])
def test_streamed_views_are_the_resident_ones_to_the_bit(ntu, bodies):
    with Store(ntu) as store:
        streamed = Sequences.load(store, bodies, CPU, resident=False)
        resident = Sequences.load(store, bodies, CPU)
        for places in (np.array([9, 0, 2, 31]), np.arange(len(store))[::-1]):
            for view in (0, 1):
                key = {"seed": 3, "epoch": 2, "view": view}
                assert torch.equal(streamed.views(places, ISC, **key), resident.views(places, ISC, **key))


def test_streamed_run_is_the_resident_one_to_the_bit_and_so_is_its_resumption(ntu, tiny, tmp_path):
    fields = {"representations": "seq+image", "hcn_dropout": 0.5, "validate_every": 2}
    train(ntu, tmp_path / "resident", tiny(**fields, epochs=4, data="resident"))
    train(ntu, tmp_path / "streamed", tiny(**fields, epochs=2, data="streamed"))
    train(ntu, tmp_path / "streamed", tiny(**fields, epochs=3, data="streamed"), resume=True)
    train(ntu, tmp_path / "streamed", tiny(**fields, epochs=4, data="auto"), resume=True)
    ours, theirs = tmp_path / "streamed", tmp_path / "resident"
    torch.testing.assert_close(load_latest(ours).model, load_latest(theirs).model, rtol=0, atol=0)
    assert metrics(ours) == metrics(theirs)


def test_streamed_run_that_is_stopped_goes_on_to_the_bit(ntu, tiny, tmp_path, monkeypatch):
    config = tiny(data="streamed", epochs=3, checkpoint_every=100)
    with monkeypatch.context() as patch:
        answers = iter([False] * 4 + [True])  # before the fifth step, the second of the second epoch

        class Asked(list):
            def __bool__(self):
                return next(answers)

        patch.setattr(module, "stop_signals", lambda **_: module.nullcontext(Asked()))
        with pytest.raises(SkelkitError, match="stopped after step 4, in epoch 2; it is saved"):
            train(ntu, tmp_path / "run", config)
    assert threads() == []
    train(ntu, tmp_path / "run", config, resume=True)
    train(ntu, tmp_path / "whole", config)
    assert_same_run(tmp_path / "run", tmp_path / "whole")


def test_damage_found_while_streaming_names_the_sequence(ntu, tiny, tmp_path):
    path = tmp_path / "damaged.h5"
    shutil.copy(ntu, path)
    with Store(ntu) as store:
        found, name = store.sequence(4).joints.tobytes(), store.names[4]
    content = path.read_bytes()
    at = content.index(found[1000:1100])
    path.write_bytes(content[:at] + bytes([content[at] ^ 1]) + content[at + 1 :])
    with pytest.raises(StoreError, match=f"sequence {name} is damaged"):
        train(path, tmp_path / "run", tiny(data="streamed"))
    assert threads() == []


def test_data_is_resident_where_half_of_the_free_memory_is_enough(ntu, tiny, tmp_path, monkeypatch, capsys):
    with Store(ntu) as store:
        size = store.rows().nbytes
        for free, wanted in ((2 * size, True), (2 * size - 1, False)):
            monkeypatch.setattr(data_module, "_free_memory", lambda free=free: free)
            assert fits(store, CPU) == wanted
        monkeypatch.setattr(data_module, "_free_memory", lambda: 4 * size)
        assert fits(store, CPU)
        monkeypatch.setenv("LOCAL_WORLD_SIZE", "3")
        assert not fits(store, CPU)
        monkeypatch.delenv("LOCAL_WORLD_SIZE")
        for free, wanted in ((2 * size, True), (size, False)):
            monkeypatch.setattr(torch.cuda, "mem_get_info", lambda _, free=free: (free, 9 * size))
            assert fits(store, CUDA) == wanted

    for free, words in ((2 * size, "resident on cpu"), (size, "streamed from the disk")):
        monkeypatch.setattr(data_module, "_free_memory", lambda free=free: free)
        pretrain(ntu, tmp_path / words, tiny(epochs=1), device=CPU)
        assert f"0.5 MB {words}; float32 on cpu\n" in capsys.readouterr().err


def test_free_memory_is_something():
    assert data_module._free_memory() > 2**20


# Batches made in advance


def threads():
    return [thread.name for thread in threading.enumerate() if thread.name.startswith("views")]


@pytest.mark.parametrize("ahead", [0, 1, 2, 100])
def test_batches_come_in_order_and_not_too_early(ahead):
    asked = []

    def order():
        for number in range(6):
            asked.append(number)
            yield np.array([number])

    found = []
    for (tensor,) in prefetched(lambda places: (torch.from_numpy(places),), order(), CPU, ahead=ahead):
        found.append(int(tensor))
        assert len(asked) <= len(found) + ahead
    assert found == list(range(6))
    assert threads() == []


def test_batches_are_made_while_the_step_is_computed():
    made = [threading.Event() for _ in range(3)]

    def make(places):
        made[places[0]].set()
        return (torch.from_numpy(places),)

    for number, _ in enumerate(prefetched(make, iter(np.arange(3)[:, None]), CPU, ahead=2)):
        assert all(event.wait(60) for event in made[number:])


def test_what_goes_wrong_in_the_other_thread_is_heard_of_and_it_ends():
    def make(places):
        if places[0] == 1:
            raise StoreError("damaged")
        return (torch.from_numpy(places),)

    views = prefetched(make, iter(np.arange(9)[:, None]), CPU, ahead=2)
    next(views)
    with pytest.raises(StoreError, match="damaged"):
        next(views)
    assert threads() == []


def test_share_of_the_time_spent_waiting_is_among_the_metrics(ntu, tiny, tmp_path, monkeypatch):
    real, clock = module._pair, [0.0]

    def slow(*arguments):
        clock[0] += 3
        return real(*arguments)

    def step(self, *arguments):
        clock[0] += 1
        return real_step(self, *arguments)

    real_step = module._Training.take_step
    monkeypatch.setattr(module, "_pair", slow)
    monkeypatch.setattr(module._Training, "take_step", step)
    for name in ("pretrain", "metrics"):
        time = SimpleNamespace(perf_counter=lambda: clock[0])
        monkeypatch.setattr(f"skelkit_train.{name}.time", time)
    assert train(ntu, tmp_path / "run", tiny(epochs=1))["waiting"] == 0.75


# Precision


def losses(ntu, tmp_path, tiny, **fields):
    run = tmp_path / "-".join(map(str, fields.values()))
    train(ntu, run, tiny(**fields))
    return [line["loss"] for line in metrics(run)]


def test_losses_in_bfloat16_are_those_in_float32(ntu, tiny, tmp_path):
    fields = {"representations": ALL, "learning_rate": 1e-3, "epochs": 3}
    low = losses(ntu, tmp_path, tiny, precision="bfloat16", **fields)
    high = losses(ntu, tmp_path, tiny, precision="float32", **fields)
    assert low != high
    assert low == pytest.approx(high, rel=0.02)
    state = load_latest(next(tmp_path.glob("bfloat16*"))).model
    assert {value.dtype for value in state.values()} == {torch.float32, torch.int64}


def test_auto_is_float32_and_not_compiled_on_the_cpu(tiny, monkeypatch):
    assert not is_mixed(tiny(), CPU)
    assert not is_compiled(tiny(), CPU)
    monkeypatch.setattr(torch.cuda, "is_bf16_supported", lambda **_: True)
    assert is_mixed(tiny(), CUDA)
    assert is_compiled(tiny(), CUDA)
    assert not is_compiled(tiny(synchronised_norms=True), CUDA)
    assert not is_mixed(tiny(precision="float32"), CUDA)
    assert not is_compiled(tiny(compile="off"), CUDA)
    monkeypatch.setattr(torch.cuda, "is_bf16_supported", lambda **_: False)
    assert not is_mixed(tiny(), CUDA)


@pytest.mark.parametrize(
    ("field", "message"),
    [
        ("data", "data 'fast': expected auto, resident or streamed"),
        ("precision", "precision 'fast': expected auto, float32 or bfloat16"),
        ("compile", "compile 'fast': expected auto, on or off"),
    ],
)
def test_a_word_that_is_none_of_the_choices(field, message, tiny):
    with pytest.raises(SkelkitError, match=message):
        tiny(**{field: "fast"})


def test_precision_may_not_change_on_resume(own_run, ntu):
    config = load_latest(own_run).config
    with pytest.raises(SkelkitError, match="was begun with precision = 'auto', not 'bfloat16'"):
        train(ntu, own_run, replace(config, precision="bfloat16"), resume=True)


# Compiled encoders


@pytest.fixture
def traced(monkeypatch):
    """Compiles without the last stage, whose C++ takes minutes; what can go wrong comes before."""
    real = torch.nn.Module.compile

    def compile_it(self, **options):
        compiled.append(self)
        real(self, backend="aot_eager", **options)

    compiled = []
    monkeypatch.setattr(torch.nn.Module, "compile", compile_it)
    yield compiled
    torch._dynamo.reset()


@pytest.mark.filterwarnings("default")  # the compiler's own
def test_compiled_run_has_the_losses_and_the_names_of_one_that_is_not(traced, ntu, tiny, tmp_path):
    fields = {"representations": "seq+image", "hcn_dropout": 0.0, "validate_every": 2}
    plain = losses(ntu, tmp_path, tiny, compile="off", **fields)
    assert losses(ntu, tmp_path, tiny, compile="on", **fields) == pytest.approx(plain, rel=1e-4)
    assert len(traced) == 2
    ours, theirs = (load_latest(next(tmp_path.glob(f"{name}*"))).model for name in ("on", "off"))
    assert list(ours) == list(theirs)
    torch.testing.assert_close(ours, theirs, rtol=0, atol=0.01)
    train(ntu, next(tmp_path.glob("on*")), tiny(**fields, compile="off", epochs=3), resume=True)


@pytest.mark.filterwarnings("default")
def test_recurrent_encoders_are_not_compiled(ntu, tiny):
    config = tiny(representations=ALL)
    with Store(ntu) as store:
        model = build_model(config, DataFacts.of(store, 2))
    names = list(model.state_dict())
    compile_encoders(model)
    for branches in (model.query, model.key):
        compiled = {name for name, branch in branches.items() if branch[0]._compiled_call_impl is not None}
        assert compiled == {"graph", "image"}
    assert list(model.state_dict()) == names


# On a GPU


@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a GPU")
@pytest.mark.parametrize("where", ["resident", "streamed"])
def test_a_step_on_the_gpu_waits_for_nothing_and_learns_the_same(where, ntu, tiny, tmp_path, monkeypatch):
    wanted = losses(ntu, tmp_path, tiny, representations=ALL, hcn_dropout=0.0)
    real = module._Training.take_step

    def step(*arguments):
        torch.cuda.set_sync_debug_mode("error")
        try:
            return real(*arguments)
        finally:
            torch.cuda.set_sync_debug_mode("default")

    monkeypatch.setattr(module._Training, "take_step", step)
    for precision, tolerance in (("float32", 1e-3), ("bfloat16", 0.02)):
        config = tiny(representations=ALL, hcn_dropout=0.0, data=where, precision=precision, compile="off")
        pretrain(ntu, tmp_path / precision, config, device=CUDA, progress=False)
        found = [line["loss"] for line in metrics(tmp_path / precision)]
        assert found == pytest.approx(wanted, rel=tolerance)


@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a GPU")
def test_gradients_on_the_gpu_are_not_scaled_in_the_end():
    weight = torch.nn.Parameter(torch.ones(3, device=CUDA))
    backward((weight * 3).sum(), [weight], mixed=True)
    assert weight.grad.tolist() == [3, 3, 3]


@pytest.mark.parametrize("optimizer", ["sgd", "adamw"])
def test_the_optimiser_has_the_settings_of_the_configuration(optimizer, tiny):
    config = tiny(optimizer=optimizer, weight_decay=0.25, learning_rate=0.5)
    (group,) = make_optimizer(torch.nn.Linear(2, 2), config).param_groups
    assert (group["weight_decay"], group["lr"]) == (0.25, 0.5)
    if optimizer == "sgd":
        assert group["momentum"] == 0.9


def test_float32_is_float32_while_a_run_trains(ntu, tiny, tmp_path, monkeypatch):
    seen, step = [], module._Training.take_step

    def spy(*given):
        seen.append(torch.backends.cudnn.allow_tf32)
        return step(*given)

    monkeypatch.setattr(module._Training, "take_step", spy)
    before = torch.backends.cudnn.allow_tf32
    train(ntu, tmp_path / "run", tiny(epochs=1))
    assert seen == [False] * 3
    assert torch.backends.cudnn.allow_tf32 == before
