"""interchange: ten thousand damaged files a format, in a process of their own: an error of one line or a
result, never a crash, a hang, or memory for what a damaged length says."""

from __future__ import annotations

import io
import pickle
import random
import re
import subprocess
import sys
import zipfile
from pathlib import Path

import numpy as np
import pytest

from skelkit.errors import SkelkitError
from skelkit.interchange import IMPORTERS
from skelkit.skeleton import JointLayout

ROUNDS = 10_000
LAYOUT = JointLayout("pair", ("a", "b"), ((1, 0),), (), 0, (0, 1), (1, 0))


def seed_files(folder: Path, format: str) -> Path:
    """A tiny good file, or folder, of the format."""
    chance = np.random.default_rng(0)
    joints = chance.normal(0, 1, (3, 1, 2, 3)).astype(np.float32)
    match format:
        case "npz":
            np.savez(
                folder / "x",
                joints=joints,
                length=[2, 1],
                name=["b", "a"],
                label=[0, 1],
                subject=[3, 4],
                class_name=["sit", "run"],
                protocol_name=["xsub"],
                protocol_part=[[1, 0]],
                recipe='{"name": "raw", "steps": []}',
            )
            return folder / "x.npz"
        case "ctrgcn":
            x = joints.reshape(1, 3, 6)
            np.savez(folder / "x", x_train=x, x_test=x, y_train=[[0, 1]], y_test=[[1, 0]])
            return folder / "x.npz"
        case "pyskl":
            keypoint = joints.transpose(1, 0, 2, 3)
            annotations = [
                {"frame_dir": name, "label": label, "total_frames": 3, "keypoint": keypoint.astype(dtype)}
                for name, label, dtype in (("a", 0, np.float16), ("b", np.int64(1), np.float32))
            ]
            content = {"split": {"xsub_train": ["a"], "xsub_val": ["b"]}, "annotations": annotations}
            (folder / "x.pkl").write_bytes(pickle.dumps(content, 4))
            return folder / "x.pkl"
        case _:
            for part in ("train", "val"):
                np.save(folder / f"{part}_data_joint.npy", joints.transpose(3, 0, 2, 1)[None])
                np.save(folder / f"{part}_num_frame.npy", [2])
                (folder / f"{part}_label.pkl").write_bytes(pickle.dumps(([f"{part}.skeleton"], [1])))
            return folder


def damaged(data: bytes, chance: random.Random) -> bytes:
    """With some bytes changed, cut out, put in or said twice."""
    found = bytearray(data)
    for _ in range(chance.randrange(1, 5)):
        at = chance.randrange(len(found) + 1)
        match chance.randrange(6):
            case 0:
                del found[at : at + chance.randrange(1, 9)]
            case 1:
                found[at:at] = chance.randbytes(chance.randrange(1, 9))
            case 2:
                other = chance.randrange(len(found) + 1)
                found[at:at] = found[other : other + chance.randrange(1, 40)]
            case 3:
                del found[at if chance.random() < 0.1 else len(found) :]
            case 4:
                found[at : at + 1] = bytes([chance.choice(b"\0\xff09.()[]{}tqrjhcRb")])
            case _:
                found[at : at + 1] = chance.randbytes(1)
    return bytes(found)


def damaged_zip(data: bytes, chance: random.Random) -> bytes:
    """Damage to a member, which the archive's checksums do not see."""
    out = io.BytesIO()
    with zipfile.ZipFile(io.BytesIO(data)) as members, zipfile.ZipFile(out, "w") as archive:
        hit = chance.choice(members.namelist())
        for name in members.namelist():
            content = members.read(name)
            archive.writestr(zipfile.ZipInfo(name), damaged(content, chance) if name == hit else content)
    return out.getvalue()


def fuzz(format: str, folder: Path) -> None:
    if sys.platform != "win32":
        import resource

        resource.setrlimit(resource.RLIMIT_AS, (4 << 30, 4 << 30))
    good = seed_files(folder, format)
    files = {path: path.read_bytes() for path in ([good] if good.is_file() else sorted(good.iterdir()))}
    read = sum(1 for _ in IMPORTERS[format](good, LAYOUT).sequences)
    refused, messages = 0, set()
    for round_ in range(ROUNDS):
        chance = random.Random(round_)
        path = chance.choice(list(files))
        inside = path.suffix == ".npz" and chance.random() < 0.7
        path.write_bytes((damaged_zip if inside else damaged)(files[path], chance))
        try:
            imported = IMPORTERS[format](good, LAYOUT)
            for _ in imported.sequences:
                pass
        except SkelkitError as error:
            refused += 1
            messages.add(re.sub(r"[0-9]+", "0", str(error).replace(str(folder), "")))
        path.write_bytes(files[path])
    print(read, refused, len({message[:60] for message in messages}))
    sys.exit(any("\n" in message for message in messages))


@pytest.mark.parametrize("format", list(IMPORTERS))
def test_damaged_files(format: str, tmp_path: Path) -> None:
    command = [sys.executable, "-W", "error", __file__, format, str(tmp_path)]
    done = subprocess.run(command, capture_output=True, text=True, timeout=300)
    assert done.returncode == 0, done.stderr[-2000:]
    read, refused, messages = map(int, done.stdout.split())
    assert read == 2
    assert ROUNDS / 4 < refused < ROUNDS  # most damage is seen, and some of it does no harm
    assert messages > 10


if __name__ == "__main__":
    fuzz(sys.argv[1], Path(sys.argv[2]))
