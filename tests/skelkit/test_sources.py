"""sources: a folder, a .zip and a file, seen the same way; damaged archives told in one line."""

from __future__ import annotations

import os
import pickle
import random
import warnings
import zipfile
from pathlib import Path

import pytest

from skelkit import sources
from skelkit.errors import InputError, SkelkitError
from skelkit.sources import list_files

A, B = "S001C001P001R001A001.skeleton", "S001C001P001R001A002.skeleton"


def _zip(path: Path, members: dict[str, bytes], compression: int = zipfile.ZIP_DEFLATED) -> Path:
    with zipfile.ZipFile(path, "w", compression) as archive:
        for name, data in members.items():
            archive.writestr(name, data)
    return path


def _folder(path: Path, files: dict[str, bytes]) -> Path:
    for name, data in files.items():
        path.joinpath(name).parent.mkdir(parents=True, exist_ok=True)
        path.joinpath(name).write_bytes(data)
    return path


def test_a_folder_a_zip_and_a_file_give_the_same(tmp_path: Path) -> None:
    files = {f"deep/er/{B}": b"two", f"deep/{A}": b"one"}
    folder, archive = _folder(tmp_path / "folder", files), _zip(tmp_path / "a.zip", files)
    upper = _zip(tmp_path / "b.ZIP", files)
    single = [folder / "deep" / A, folder / "deep" / "er" / B]
    for given in ([folder], [archive], [upper], single, single[::-1]):
        listing = list_files(given, ".skeleton")
        taken, passed = listing.files, listing.others
        assert [(file.name, file.read(), file.size) for file in taken] == [(A, b"one", 3), (B, b"two", 3)]
        assert passed == []


def test_folders_in_the_names_of_unpacked_files_are_none_of_their_names(tmp_path: Path) -> None:
    names = [
        r"nturgb+d_skeletons120\S001C001P001R001A002.skeleton",
        r"nturgb+d_skeletons\S001C001P001R001A003.skeleton",
    ]
    folder = _folder(tmp_path / "x", {r"z\S001C001P001R001A001.skeleton": b"", **dict.fromkeys(names, b"")})
    files = list_files([folder], ".skeleton").files
    assert [file.stem for file in files] == [f"S001C001P001R001A00{n}" for n in (1, 2, 3)]


def test_files_are_small_to_send_to_workers(tmp_path: Path) -> None:
    (file,) = list_files([_zip(tmp_path / "a.zip", {A: b"x" * 9999})], ".skeleton").files
    sent = pickle.dumps(file)
    assert len(sent) < 1000
    assert pickle.loads(sent).read() == b"x" * 9999


@pytest.mark.parametrize("packed", [True, False])
def test_others_are_passed_over_and_named_hidden_ones_are_not(tmp_path: Path, packed: bool) -> None:
    files = {A: b"one", "readme.txt": b"", ".DS_Store": b"", f"__MACOSX/._{A}": b"fork", f"._{A}": b"fork"}
    if not packed:
        files[f".unfinished/{A}"] = b"half"
    source = _zip(tmp_path / "a.zip", files) if packed else _folder(tmp_path / "folder", files)
    listing = list_files([source], ".skeleton")
    taken, passed = listing.files, listing.others
    assert [file.read() for file in taken] == [b"one"]
    assert [where[-10:] for where in passed] == ["readme.txt"]


def test_the_folder_that_macs_add_is_not_looked_at(tmp_path: Path) -> None:
    taken = list_files([_zip(tmp_path / "a.zip", {A: b"one", f"__MACOSX/{B}": b"fork"})], ".skeleton").files
    assert [file.name for file in taken] == [A]


def test_a_hidden_folder_above_the_source_hides_nothing(tmp_path: Path) -> None:
    taken = list_files([_folder(tmp_path / ".cache", {A: b"one"})], ".skeleton").files
    assert [file.name for file in taken] == [A]


def test_paths_in_an_archive_are_not_trusted(tmp_path: Path) -> None:
    inner = tmp_path / "inner"
    inner.mkdir()
    archive = _zip(inner / "a.zip", {f"../{A}": b"one", f"/etc/{B}": b"two", "..\\x\\S.skeleton": b"three"})
    before = sorted(tmp_path.rglob("*"))
    taken = list_files([archive], ".skeleton").files
    assert {file.name: file.read() for file in taken} == {A: b"one", B: b"two", "S.skeleton": b"three"}
    assert sorted(tmp_path.rglob("*")) == before


def test_a_file_named_alone_is_taken_whatever_its_suffix(tmp_path: Path) -> None:
    path = _folder(tmp_path, {"odd.txt": b"x"}) / "odd.txt"
    listing = list_files([path], ".skeleton")
    taken, passed = listing.files, listing.others
    assert [file.path for file in taken] == [str(path)]
    assert passed == []


@pytest.mark.parametrize("suffix", [".skeleton", ".SKELETON"])
def test_the_suffix_in_any_case(tmp_path: Path, suffix: str) -> None:
    taken = list_files([_folder(tmp_path, {f"a{suffix}": b"x"})], ".skeleton").files
    assert len(taken) == 1


def test_a_missing_source_is_named(tmp_path: Path) -> None:
    with pytest.raises(SkelkitError, match=r"absent: no such file or folder"):
        list_files([tmp_path / "absent"], ".skeleton")


def test_a_misspelt_source_is_told_what_lies_beside_it(tmp_path: Path) -> None:
    (tmp_path / "sample.zip").touch()
    with pytest.raises(SkelkitError, match=r"no such file or folder; did you mean sample\.zip\?"):
        list_files([tmp_path / "sampel.zip"], ".skeleton")


def test_a_misspelt_source_is_not_told_its_own_name(tmp_path: Path) -> None:
    (tmp_path / "dangling.zip").symlink_to(tmp_path / "nowhere")
    with pytest.raises(SkelkitError, match=r"dangling\.zip: no such file or folder$"):
        list_files([tmp_path / "dangling.zip"], ".skeleton")


def test_a_source_without_a_file_is_put_aside(tmp_path: Path) -> None:
    (tmp_path / "right").mkdir()
    (tmp_path / "wrong").mkdir()
    (tmp_path / "right" / "a.skeleton").touch()
    (tmp_path / "wrong" / "a.txt").touch()
    listing = list_files([tmp_path / "wrong", tmp_path / "right"], ".skeleton")
    assert [file.name for file in listing.files] == ["a.skeleton"]
    assert list(map(str, listing.unreadable)) == [f"{tmp_path}/wrong: no .skeleton file in it"]


def test_no_file_at_all(tmp_path: Path) -> None:
    with pytest.raises(SkelkitError, match=r"no \.skeleton file"):
        list_files([_folder(tmp_path, {"a.txt": b""})], ".skeleton")


@pytest.mark.parametrize("data", [b"", b"PK", b"no archive", b"PK\x03\x04" + b"\0" * 99])
def test_a_broken_archive_is_told_in_one_line(tmp_path: Path, data: bytes) -> None:
    path = tmp_path / "a.zip"
    path.write_bytes(data)
    with pytest.raises(InputError, match=r"a\.zip: not a readable zip archive") as caught:
        list_files([path], ".skeleton")
    assert "\n" not in str(caught.value)


def test_a_cut_archive(tmp_path: Path) -> None:
    path = _zip(tmp_path / "a.zip", {A: b"one" * 100})
    path.write_bytes(path.read_bytes()[:-30])
    with pytest.raises(InputError, match="not a readable zip archive"):
        list_files([path], ".skeleton")


def test_a_damaged_member_is_named_the_others_are_read(tmp_path: Path) -> None:
    path = _zip(tmp_path / "a.zip", {A: b"one" * 100, B: b"two"}, zipfile.ZIP_STORED)
    path.write_bytes(path.read_bytes().replace(b"oneoneone", b"oneOneone", 1))
    bad, good = list_files([path], ".skeleton").files
    with pytest.raises(InputError, match=rf"a\.zip!{A}: damaged in its archive: Bad CRC"):
        bad.read()
    assert good.read() == b"two"


def test_an_encrypted_member(tmp_path: Path) -> None:
    path = _zip(tmp_path / "a.zip", {A: b"one"})
    data = bytearray(path.read_bytes())
    data[6] |= 1
    data[data.index(b"PK\x01\x02") + 8] |= 1
    path.write_bytes(data)
    (file,) = list_files([path], ".skeleton").files
    with pytest.raises(InputError, match="encrypted"):
        file.read()


@pytest.mark.parametrize(
    "compression", [zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED, zipfile.ZIP_BZIP2, zipfile.ZIP_LZMA]
)
def test_a_flipped_bit_anywhere_is_never_a_traceback(tmp_path: Path, compression: int) -> None:
    members = {f"x/{A}": b"12345 67890 " * 20, "\xe9.skeleton": b"0\n"}
    good = _zip(tmp_path / "good.zip", members, compression).read_bytes()
    chance = random.Random(compression)
    told = []
    for number in range(300):
        data = bytearray(good)
        data[chance.randrange(len(data))] ^= 1 << chance.randrange(8)
        path = tmp_path / f"{number}.zip"
        path.write_bytes(data)
        try:
            for file in list_files([path], ".skeleton").files:
                file.read()
        except SkelkitError as error:
            told.append(str(error))
    assert len(told) > 50
    assert not any("\n" in text for text in told)


def test_an_archive_that_was_replaced_is_read_anew(tmp_path: Path) -> None:
    path = _zip(tmp_path / "a.zip", {A: b"old"})
    assert list_files([path], ".skeleton").files[0].read() == b"old"
    _zip(path, {A: b"newer", B: b"new"})
    assert [file.read() for file in list_files([path], ".skeleton").files] == [b"newer", b"new"]


def test_a_file_that_is_too_large_is_not_read(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sources, "LARGEST_FILE", 10)
    (file,) = list_files([_zip(tmp_path / "a.zip", {A: b"\0" * 11})], ".skeleton").files
    with pytest.raises(InputError, match="11 bytes, expected at most 10"):
        file.read()


def test_a_file_that_went_away(tmp_path: Path) -> None:
    (file,) = list_files([_folder(tmp_path, {A: b"one"})], ".skeleton").files
    (tmp_path / A).unlink()
    with pytest.raises(InputError, match="cannot be read"):
        file.read()


def test_what_is_no_file_is_named(tmp_path: Path) -> None:
    (tmp_path / "a.skeleton").write_text("x")
    (tmp_path / "b.skeleton").symlink_to(tmp_path / "nowhere")
    (tmp_path / ".#b.skeleton").symlink_to("me@here.1")  # an editor's lock, hidden like others
    os.mkfifo(tmp_path / "c.skeleton")
    (tmp_path / "d.skeleton").mkdir()
    listing = list_files([tmp_path], ".skeleton")
    assert [file.name for file in listing.files] == ["a.skeleton"]
    assert sorted(map(str, listing.unreadable)) == [
        f"{tmp_path}/b.skeleton: a link to a file that is not there",
        f"{tmp_path}/c.skeleton: not a plain file",
        f"{tmp_path}/d.skeleton: an empty folder, expected a file",
    ]
    with pytest.raises(SkelkitError, match="neither a file nor a folder"):
        list_files([tmp_path / "c.skeleton"], ".skeleton")


def test_links_to_folders_are_followed_once(tmp_path: Path) -> None:
    (tmp_path / "data" / "raw").mkdir(parents=True)
    (tmp_path / "data" / "raw" / "a.skeleton").write_text("x")
    (tmp_path / "data" / "raw" / "round").symlink_to(tmp_path / "data")
    (tmp_path / "links").mkdir()
    (tmp_path / "links" / "there").symlink_to(tmp_path / "data")
    assert [file.name for file in list_files([tmp_path / "links"], ".skeleton").files] == ["a.skeleton"]


def test_a_member_that_an_archive_has_twice(tmp_path: Path) -> None:
    with zipfile.ZipFile(tmp_path / "a.zip", "w") as archive, warnings.catch_warnings():
        warnings.simplefilter("ignore")
        archive.writestr("a.skeleton", "first")
        archive.writestr("a.skeleton", "the last")
    listing = list_files([tmp_path / "a.zip"], ".skeleton")
    assert [file.read() for file in listing.files] == [b"the last"]
    assert "in the archive 2 times; the last is taken" in str(listing.unreadable[0])
