"""verify: every damage is found, exactly the damaged sequences are named, and HDF5 never crashes on it.

The damage is done in a process of its own, so that a crash there is a failure here, not the end of all tests.
"""

from __future__ import annotations

import json
import random
import subprocess
import sys
from collections.abc import Iterable
from pathlib import Path

import h5py
import numpy as np
import pytest
from numpy.typing import NDArray

from skelkit.errors import StoreError
from skelkit.sequence import SkeletonSequence
from skelkit.skeleton import load_layout
from skelkit.store import Header, Store, seal, verify, write_store

CHUNK_ROWS = 128
HEADER = Header("own", load_layout("ntu25"), {"name": "raw", "steps": []}, ("wave",))

DAMAGE_AND_VERIFY = """
import json, sys
from pathlib import Path
from skelkit.errors import StoreError
from skelkit.store import Store, verify

path, reads = Path(sys.argv[1]), sys.argv[2] == "reads"
good = path.read_bytes()
for line in sys.stdin:
    edits, length = json.loads(line)
    data = bytearray(good)
    for at, new in edits:
        data[at : at + len(new) // 2] = bytes.fromhex(new)
    path.write_bytes(data[:length])
    readable = []
    try:
        with Store(path) as store:
            for place, name in enumerate(store.names if reads else []):
                try:
                    store.sequence(place)
                    readable.append(name)
                except StoreError:
                    pass
    except StoreError:
        readable = None
    print(json.dumps([verify(path), readable]))
"""

Edit = tuple[int, bytes]
"""Where, and the bytes put there."""


def outcomes(
    path: Path, damages: Iterable[tuple[list[Edit], int]], *, reads: bool = True
) -> list[tuple[list[str], list[str] | None]]:
    """For each damage (edits, then length) what verify says, and, if it ``reads``, which sequences can be
    read; None where the store does not open."""
    lines = [json.dumps([[(at, new.hex()) for at, new in edits], length]) for edits, length in damages]
    done = subprocess.run(
        [sys.executable, "-c", DAMAGE_AND_VERIFY, str(path), "reads" if reads else ""],
        input="\n".join(lines),
        capture_output=True,
        text=True,
        timeout=300,
    )
    assert done.returncode == 0, done.stderr
    found = [json.loads(line) for line in done.stdout.splitlines()]
    assert len(found) == len(lines)
    return [(problems, readable) for problems, readable in found]


def sequences(count: int, most_frames: int) -> list[SkeletonSequence]:
    chance = np.random.default_rng(0)
    made = []
    for n in range(count):
        shape = int(chance.integers(1, most_frames + 1)), 1 + n % 2
        present = chance.random(shape) < 0.9
        joints = chance.normal(0, 1, (*shape, 25, 3)).astype(np.float32)
        joints[~present] = 0
        made.append(SkeletonSequence(joints, present, f"S{n:03}", 0, {"camera": n % 3 + 1}))
    return made


class Written:
    """A store and, for each byte of its file, whose rows it belongs to."""

    def __init__(self, path: Path, made: list[SkeletonSequence]) -> None:
        write_store(path, made, HEADER)
        self.path = path
        self.data = path.read_bytes()
        self.names = [sequence.name for sequence in made]
        self.owner: NDArray[np.int64] = np.full(len(self.data), -1)
        self.chunks: list[tuple[int, int]] = []
        """Of the joints: first byte, and the one after the last, of those with sequences in them."""
        joints = np.concatenate([sequence.joints.reshape(-1, 25, 3) for sequence in made])
        flags = np.concatenate([sequence.present.reshape(-1) for sequence in made])
        row_owner = np.repeat(np.arange(len(made)), [s.frames * s.bodies for s in made])
        for first in range(0, len(joints), CHUNK_ROWS):
            rows = joints[first : first + CHUNK_ROWS].tobytes()
            self._own(rows, np.repeat(row_owner[first : first + CHUNK_ROWS], 300))
            self.chunks.append((self.data.index(rows), self.data.index(rows) + len(rows)))
        self._own(flags.tobytes(), row_owner)

    def _own(self, rows: bytes, owner: NDArray[np.int64]) -> None:
        assert self.data.count(rows) == 1
        at = self.data.index(rows)
        self.owner[at : at + len(rows)] = owner

    def flip(self, at: int, bit: int) -> Edit:
        return at, bytes([self.data[at] ^ 1 << bit])

    def damaged(self, edits: list[Edit]) -> tuple[list[str], bool]:
        """The names of the sequences whose bytes are changed, and whether other bytes are, too."""
        new = bytearray(self.data)
        for at, put in edits:
            new[at : at + len(put)] = put
        changed = np.frombuffer(bytes(new), np.uint8) != np.frombuffer(self.data, np.uint8)
        owners = np.unique(self.owner[changed])
        return [self.names[n] for n in owners if n >= 0], bool((owners == -1).any())

    def check(self, damages: list[list[Edit]], *, reads: bool = True) -> int:
        """Judge what became of each damage; the number of those in nothing but rows."""
        in_rows = 0
        found = outcomes(self.path, [(edits, len(self.data)) for edits in damages], reads=reads)
        for edits, (problems, readable) in zip(damages, found, strict=True):
            names, elsewhere = self.damaged(edits)
            where = f"bytes {[at for at, _ in edits]}, {names}, {elsewhere}"
            said = [f"{self.path}: sequence {name} is damaged: its checksum is wrong" for name in names]
            if not elsewhere:
                in_rows += 1
                assert problems == said, where
                assert readable == [name for name in self.names if reads and name not in names], where
            elif problems != said or not names:
                # Damage in the file's tables hides what else there is: one line says so.
                assert len(problems) == 1, where
                assert problems[0].startswith(f"{self.path}: "), where
                assert " sequence S" not in problems[0], where
        return in_rows


@pytest.fixture
def written(tmp_path: Path) -> Written:
    return Written(tmp_path / "a.h5", sequences(40, 24))


def test_the_file_is_of_a_real_size_and_intact(written: Written) -> None:
    assert len(written.data) > 200_000
    assert len(written.chunks) > 4
    assert verify(written.path) == []


def test_a_thousand_flipped_bits(written: Written) -> None:
    chance = random.Random(0)
    damages = [[written.flip(chance.randrange(len(written.data)), chance.randrange(8))] for _ in range(1000)]
    assert 600 < written.check(damages, reads=False) < 1000


def test_flipped_bits_outside_the_rows(written: Written) -> None:
    """They are few in a large store, but those that HDF5 crashes on."""
    chance = random.Random(1)
    outside = np.flatnonzero(written.owner == -1).tolist()
    places = [*range(512), *chance.sample(outside, 500)]
    assert written.check([[written.flip(at, chance.randrange(8))] for at in places]) == 0


def test_flipped_presence_flags(written: Written) -> None:
    """Also those after which the flag is still not zero."""
    flags = np.flatnonzero(written.owner >= 0)
    flags = flags[(flags < written.chunks[0][0]) | (flags >= written.chunks[-1][1])]
    assert len(flags) > 400
    damages = [[written.flip(int(at), bit)] for at in flags[::50] for bit in range(8)]
    assert written.check(damages) == len(damages)


def test_several_damages_at_once(written: Written) -> None:
    chance = random.Random(2)
    inside = np.flatnonzero(written.owner >= 0).tolist()
    damages = [
        [written.flip(at, chance.randrange(8)) for at in sorted(chance.sample(inside, chance.randint(2, 9)))]
        for _ in range(50)
    ]
    assert written.check(damages) == 50


def test_zeroed_and_overwritten_pages(written: Written) -> None:
    pages = range(0, len(written.data) - 4096, 4096)
    damages = [[(at, bytes([value]) * 4096)] for at in pages for value in (0, 255)]
    assert written.check(damages) > len(pages)


def test_swapped_chunks(written: Written) -> None:
    """HDF5's checksum moves with its chunk."""
    length = CHUNK_ROWS * 300 + 4
    a, b, c = (first for first, _ in written.chunks[:3])
    damages = [
        [(x, written.data[y : y + length]), (y, written.data[x : x + length])]
        for x, y in ((a, b), (b, c), (a, c))
    ]
    for edits in damages:
        # Its last four bytes are HDF5's, which belong to no sequence, and to its chunk.
        written.owner[edits[0][0] + length - 4 : edits[0][0] + length] = written.owner[edits[0][0]]
        written.owner[edits[1][0] + length - 4 : edits[1][0] + length] = written.owner[edits[1][0]]
    assert written.check(damages) == 3


def test_every_truncation(tmp_path: Path) -> None:
    written = Written(tmp_path / "a.h5", sequences(3, 5))
    size = len(written.data)
    chance = random.Random(3)
    ends = {end + shift for chunk in written.chunks for end in chunk for shift in (-1, 0, 1)}
    lengths = sorted({*range(600), *range(0, size, 97), *chance.sample(range(size), 200), *ends, size - 1})
    for length, (problems, readable) in zip(
        lengths, outcomes(written.path, [([], length) for length in lengths]), strict=True
    ):
        assert len(problems) == 1, length
        assert problems[0].startswith(f"{written.path}: "), length
        assert readable is None, length


@pytest.mark.parametrize("added", [b"\0", b"\0" * 4096, b"text"])
def test_bytes_added_at_the_end(written: Written, added: bytes) -> None:
    with written.path.open("ab") as file:
        file.write(added)
    (problem,) = verify(written.path)
    assert "damaged outside its sequences" in problem


def test_what_another_program_adds_is_found(written: Written) -> None:
    with h5py.File(written.path, "r+") as file:
        file.attrs["note"] = "mine"
    (problem,) = verify(written.path)
    assert "changed by another program" in problem


def test_a_damaged_store_can_be_read_but_for_the_damaged_sequence(written: Written) -> None:
    made = sequences(40, 24)
    at, new = written.flip(int(np.flatnonzero(written.owner == 7)[0]), 3)
    with written.path.open("r+b") as file:
        file.seek(at)
        file.write(new)
    with Store(written.path) as store:
        for place in (6, 8):
            assert store.sequence(place).joints.tobytes() == made[place].joints.tobytes()
        with pytest.raises(StoreError, match=r"sequence S007 is damaged: its checksum is wrong"):
            store.sequence(7)
        with pytest.raises(StoreError, match="some sequences are damaged; skelkit verify names them"):
            store.rows()


def test_words_are_plain(written: Written) -> None:
    """No message speaks of HDF5's inner life."""
    chance = random.Random(4)
    places = [*range(0, 512, 7), *chance.sample(range(512, len(written.data)), 100)]
    found = outcomes(written.path, [([written.flip(at, 0)], len(written.data)) for at in places])
    for problems, _ in found:
        assert not any(
            word in problem.lower() for problem in problems for word in ("hdf5", "fletcher", "b-tree")
        )


def test_damage_far_into_a_store_of_many_stretches(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(seal, "_STRETCH", 1 << 16)
    monkeypatch.setattr(seal, "_PIECE", 1 << 14)
    made = sequences(40, 24)
    write_store(tmp_path / "a.h5", made, HEADER)
    data = (tmp_path / "a.h5").read_bytes()
    assert verify(tmp_path / "a.h5") == []
    for sequence in made[::13]:
        at = data.index(sequence.joints.tobytes()[-300:])
        (tmp_path / "b.h5").write_bytes(data[:at] + bytes([data[at] ^ 1]) + data[at + 1 :])
        (problem,) = verify(tmp_path / "b.h5")
        assert f"{sequence.name} is damaged" in problem
