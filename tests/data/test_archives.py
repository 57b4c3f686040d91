"""Reading and unpacking archives, many of which lie."""

from __future__ import annotations

import gzip
import io
import stat
import tarfile
import zipfile
from collections.abc import Callable
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from gancomp.data import archives, openmoji
from gancomp.data.archives import ZipArchive, check_archive, each_member, member_bytes, read_members, unpack
from gancomp.errors import GancompError
from gancomp.pipeline.files import file_sha256

from .conftest import svg, write_wheel

# --- in memory ---------------------------------------------------------------------------------


def zip_of(path: Path, *members: tuple[str | zipfile.ZipInfo, bytes]) -> Path:
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as stream:
        for name, content in members:
            stream.writestr(name, content)
    return path


def test_members_are_read(tmp_path: Path) -> None:
    archive = zip_of(tmp_path / "a.zip", ("x/1", b"one"), ("x/2", b""), ("y", b"no"))
    assert read_members(archive, lambda name: name.startswith("x/")) == {"x/1": b"one", "x/2": b""}
    assert member_bytes(archive, "y") == b"no"
    with pytest.raises(GancompError, match=r"a\.zip: holds no z"):
        member_bytes(archive, "z")


@pytest.mark.parametrize("name", ["../out", "a/../../out", "/etc/out", "a\\..\\out", "C:out"])
def test_a_path_that_escapes_is_refused(tmp_path: Path, name: str) -> None:
    archive = zip_of(tmp_path / "a.zip", ("fine", b"1"), (name, b"2"))
    with pytest.raises(GancompError, match="leads out of the archive"):
        member_bytes(archive, "fine")


def test_a_link_is_refused(tmp_path: Path) -> None:
    link = zipfile.ZipInfo("link")
    link.create_system = 3
    link.external_attr = (stat.S_IFLNK | 0o777) << 16
    archive = zip_of(tmp_path / "a.zip", ("fine", b"1"), (link, b"/etc/passwd"))
    with pytest.raises(GancompError, match="'link' is a symbolic link"):
        member_bytes(archive, "fine")


def test_a_bomb_is_refused_before_it_expands(tmp_path: Path) -> None:
    archive = zip_of(tmp_path / "a.zip", ("bomb", bytes(2 << 20)), ("fine", b"1"))
    assert member_bytes(archive, "fine") == b"1"
    with pytest.raises(GancompError, match=r"'bomb' expands \d+ bytes to 2097152"):
        member_bytes(archive, "bomb")


def test_the_total_is_limited(tmp_path: Path) -> None:
    archive = zip_of(tmp_path / "a.zip", ("1", bytes(600)), ("2", bytes(600)))
    with pytest.raises(GancompError, match="expand to 1200 bytes, more than the limit of 1000"):
        read_members(archive, lambda _: True, max_bytes=1000)


@pytest.mark.parametrize("kept", [0.0, 0.3, 0.9, 0.999])
def test_a_truncated_archive_is_refused(tmp_path: Path, kept: float) -> None:
    archive = write_wheel(tmp_path / "w.whl", {"1F600": svg()})
    content = archive.read_bytes()
    archive.write_bytes(content[: int(len(content) * kept)])
    with pytest.raises(GancompError, match=r"w\.whl: truncated or damaged"):
        openmoji.read_drawings(archive)


def test_a_changed_byte_is_noticed(tmp_path: Path) -> None:
    with zipfile.ZipFile(tmp_path / "a.zip", "w", zipfile.ZIP_STORED) as stream:
        stream.writestr("x", b"hello world")
    content = (tmp_path / "a.zip").read_bytes()
    (tmp_path / "a.zip").write_bytes(content.replace(b"hello", b"jello"))
    with pytest.raises(GancompError, match="damaged"):
        member_bytes(tmp_path / "a.zip", "x")


def test_a_header_that_lies_about_the_size_is_noticed(tmp_path: Path) -> None:
    archive = zip_of(tmp_path / "a.zip", ("x", bytes(5000)))
    size = (5000).to_bytes(4, "little")
    archive.write_bytes(archive.read_bytes().replace(size, (50).to_bytes(4, "little")))
    with pytest.raises(GancompError, match="damaged"):
        member_bytes(archive, "x")


def test_a_missing_archive_is_named(tmp_path: Path) -> None:
    with pytest.raises(GancompError, match=r"none\.whl: no such file"):
        member_bytes(tmp_path / "none.whl", "x")


def test_members_are_read_in_any_order(tmp_path: Path) -> None:
    with ZipArchive(zip_of(tmp_path / "a.zip", ("x/1", b"one"), ("x/2", b"two"), ("x/", b""))) as opened:
        assert opened.sizes == {"x/1": 3, "x/2": 3}
        assert [opened.read(name) for name in ("x/2", "x/1", "x/2")] == [b"two", b"one", b"two"]


# --- to files ----------------------------------------------------------------------------------


def tar_of(path: Path, *members: tuple[str | tarfile.TarInfo, bytes]) -> Path:
    with tarfile.open(path, "w:gz") as stream:
        for name, content in members:
            entry = tarfile.TarInfo(name) if isinstance(name, str) else name
            entry.size = len(content)
            stream.addfile(entry, io.BytesIO(content))
    return path


def typed(kind: bytes, name: str = "special", target: str = "/etc/passwd") -> tarfile.TarInfo:
    entry = tarfile.TarInfo(name)
    entry.type, entry.linkname = kind, target
    return entry


Archive = Callable[..., Path]
EITHER = pytest.mark.parametrize("archive", [zip_of, tar_of], ids=["zip", "tar.gz"])


def unpacked(archive: Path, folder: Path) -> list[str]:
    """Everything below `x/`, without it."""
    return unpack(archive, file_sha256(archive), folder, lambda name: name.partition("x/")[2] or None, total=2)


@EITHER
@settings(max_examples=15, suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None)
@given(contents=st.lists(st.binary(max_size=1500), max_size=6))
def test_every_member_comes_with_its_bytes(tmp_path: Path, archive: Archive, contents: list[bytes]) -> None:
    """Also those that fill whole blocks of 512 bytes, or none."""
    members = [(f"{index}", content) for index, content in enumerate([*contents, b"x" * 512])]
    path = archive(tmp_path / "a", *members)
    assert list(each_member(path, lambda _: True)) == members
    assert list(each_member(path, lambda name: name == "0")) == members[:1]
    check_archive(path)


@EITHER
def test_members_are_unpacked_once(tmp_path: Path, archive: Archive, monkeypatch: pytest.MonkeyPatch) -> None:
    path = archive(tmp_path / "a", ("x/b/2.jpg", b"two"), ("x/a/1.jpg", b"one"), ("y/3", b"no"))
    assert unpacked(path, tmp_path / "out") == ["a/1.jpg", "b/2.jpg"]
    assert (tmp_path / "out/a/1.jpg").read_bytes() == b"one"
    assert {file.name for file in tmp_path.glob("out/**/*") if file.is_file()} == {
        "1.jpg",
        "2.jpg",
        archives.UNPACKED,
    }
    with monkeypatch.context() as patch:
        patch.setattr(archives, "each_member", None)
        assert unpacked(path, tmp_path / "out") == ["a/1.jpg", "b/2.jpg"]


def test_a_file_that_went_missing_is_unpacked_again(tmp_path: Path) -> None:
    path = tar_of(tmp_path / "a", ("x/1", b"one"), ("x/2", b"two"))
    unpacked(path, tmp_path / "out")
    (tmp_path / "out/1").unlink()
    unpacked(path, tmp_path / "out")
    assert (tmp_path / "out/1").read_bytes() == b"one"


def test_a_killed_unpacking_is_taken_up(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tar_of(tmp_path / "a", *((f"x/{index}", b"%d" % index) for index in range(6)))
    written = []
    write = archives._write_unless_there

    def die(file: Path, content: bytes) -> None:
        written.append(file.name)
        if len(written) == 4:
            raise KeyboardInterrupt
        write(file, content)

    with monkeypatch.context() as patch:
        patch.setattr(archives, "_write_unless_there", die)
        with pytest.raises(KeyboardInterrupt):
            unpacked(path, tmp_path / "out")
    assert not (tmp_path / "out" / archives.UNPACKED).exists()
    kept = (tmp_path / "out/0").stat().st_ino
    (tmp_path / "out/1").write_bytes(b"x")  # of another archive, and as long
    assert unpacked(path, tmp_path / "out") == ["0", "1", "2", "3", "4", "5"]
    assert (tmp_path / "out/0").stat().st_ino == kept
    assert [(tmp_path / f"out/{index}").read_bytes() for index in range(6)] == [b"%d" % index for index in range(6)]


def test_the_first_archive_takes_its_place_again(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Also where a second one was begun and killed."""
    first, second = tar_of(tmp_path / "a", ("x/1", b"one")), tar_of(tmp_path / "b", ("x/1", b"new"), ("x/2", b"two"))
    unpacked(first, tmp_path / "out")
    write = archives._write_unless_there

    def die(file: Path, content: bytes) -> None:
        write(file, content)
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(archives, "_write_unless_there", die)
        with pytest.raises(KeyboardInterrupt):
            unpacked(second, tmp_path / "out")
    assert unpacked(first, tmp_path / "out") == ["1"]
    assert (tmp_path / "out/1").read_bytes() == b"one"


def test_another_archive_takes_the_place_of_the_first(tmp_path: Path) -> None:
    unpacked(tar_of(tmp_path / "a", ("x/1", b"one"), ("x/old", b"old")), tmp_path / "out")
    assert unpacked(tar_of(tmp_path / "a", ("x/1", b"new")), tmp_path / "out") == ["1"]
    assert (tmp_path / "out/1").read_bytes() == b"new"


@EITHER
def test_two_members_of_one_name_are_refused(tmp_path: Path, archive: Archive) -> None:
    path = archive(tmp_path / "a", ("x/1", b"one"), ("z/x/1", b"two"))
    with pytest.raises(GancompError, match="contains 1 twice"):
        unpacked(path, tmp_path / "out")


def test_a_damaged_note_of_what_was_unpacked_is_named(tmp_path: Path) -> None:
    path = tar_of(tmp_path / "a", ("x/1", b"one"))
    unpacked(path, tmp_path / "out")
    (tmp_path / "out" / archives.UNPACKED).write_text("{")
    with pytest.raises(GancompError, match=r"unpacked\.json: not valid JSON .*delete it"):
        unpacked(path, tmp_path / "out")


@EITHER
@pytest.mark.parametrize("name", ["../out", "a/../../out", "/etc/out", "a\\..\\out", "C:out"])
def test_a_path_that_escapes_is_refused_also_where_it_is_not_wanted(
    tmp_path: Path, archive: Archive, name: str
) -> None:
    path = archive(tmp_path / "a", ("x/1", b"1"), (name, b"2"))
    with pytest.raises(GancompError, match="leads out of the archive"):
        unpacked(path, tmp_path / "out")


@pytest.mark.parametrize(
    "kind",
    [tarfile.SYMTYPE, tarfile.LNKTYPE, tarfile.CHRTYPE, tarfile.BLKTYPE, tarfile.FIFOTYPE, tarfile.GNUTYPE_SPARSE],
)
def test_links_and_devices_are_refused(tmp_path: Path, kind: bytes) -> None:
    path = tar_of(tmp_path / "a", ("x/1", b"1"), (typed(kind), b""))
    with pytest.raises(GancompError, match=r"'special' is a link or a device"):
        unpacked(path, tmp_path / "out")


@EITHER
def test_what_is_unpacked_is_bounded(tmp_path: Path, archive: Archive, monkeypatch: pytest.MonkeyPatch) -> None:
    path = archive(tmp_path / "a", *((f"x/{index}", bytes(900)) for index in range(9)))
    with monkeypatch.context() as patch:
        patch.setattr(archives, "MAX_MEMBER", 899)
        with pytest.raises(GancompError, match=r"900 bytes, more than the limit of 899|a header of 900 bytes"):
            check_archive(path)
    with monkeypatch.context() as patch:
        patch.setattr(archives, "MAX_ENTRIES", 8)
        with pytest.raises(GancompError, match="more than 8 entries"):
            check_archive(path)
    monkeypatch.setattr(archives, "MAX_MEMBER", 1024)
    with pytest.raises(GancompError, match=r"more .*8,?000 bytes"):
        list(each_member(path, lambda _: True, max_bytes=8000))


def test_a_gzip_bomb_is_refused_before_it_expands(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Also one whose members nobody wants: they are passed over, but not for ever."""
    path = tmp_path / "a"
    entry = tarfile.TarInfo("bomb")
    entry.size = 1 << 40
    path.write_bytes(gzip.compress(entry.tobuf() + bytes(8 << 20)))
    monkeypatch.setattr(archives, "MAX_MEMBER", 1 << 20)
    with pytest.raises(GancompError, match="expands to more than 2097152 bytes"):
        list(each_member(path, lambda _: False, max_bytes=2 << 20))


def test_a_header_larger_than_a_member_may_be_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Long names are read into memory as a whole, so their length is checked, also where the bytes are there."""
    entry = typed(tarfile.GNUTYPE_LONGNAME)
    entry.size = 1 << 20
    long_named = entry.tobuf() + b"x" * (1 << 20) + tarfile.TarInfo("x/1").tobuf() + bytes(1024)
    (tmp_path / "a").write_bytes(gzip.compress(long_named))
    check_archive(tmp_path / "a")
    monkeypatch.setattr(archives, "MAX_MEMBER", (1 << 20) - 1)
    with pytest.raises(GancompError, match="a header of 1048576 bytes"):
        check_archive(tmp_path / "a")


@pytest.mark.parametrize("wanted", [True, False])
@pytest.mark.timeout(30)
def test_a_header_that_leads_back_does_not_hang(tmp_path: Path, wanted: bool) -> None:
    entry = tarfile.TarInfo("x/1")
    first = entry.tobuf(tarfile.GNU_FORMAT)
    header = bytearray(entry.tobuf(tarfile.GNU_FORMAT))
    header[124:136] = b"\xff" * 10 + (-512).to_bytes(2, "big", signed=True)  # a size of -512 in base 256
    header[148:156] = b" " * 8
    header[148:156] = b"%06o\0 " % sum(header)
    (tmp_path / "a").write_bytes(gzip.compress(first + bytes(header) + bytes(1024)))
    with pytest.raises(GancompError, match="damaged archive"):
        list(each_member(tmp_path / "a", lambda _: wanted))


@EITHER
@pytest.mark.parametrize("kept", [0.0, 0.02, 0.5, 0.99])
def test_an_archive_that_is_cut_off_is_refused(tmp_path: Path, archive: Archive, kept: float) -> None:
    path = archive(tmp_path / "a", *((f"x/{index}", bytes(range(256)) * 9) for index in range(20)))
    content = path.read_bytes()
    path.write_bytes(content[: int(len(content) * kept)])
    with pytest.raises(GancompError, match="a: truncated or damaged"):
        check_archive(path)


def test_a_changed_checksum_of_the_whole_is_noticed(tmp_path: Path) -> None:
    path = tar_of(tmp_path / "a", ("x/1", b"one"))
    content = bytearray(path.read_bytes())
    content[-8] ^= 1
    path.write_bytes(content)
    with pytest.raises(GancompError, match="CRC"):
        check_archive(path)


def test_no_archive_at_all_is_refused(tmp_path: Path) -> None:
    (tmp_path / "page").write_text("<html>")
    with pytest.raises(GancompError, match="page: truncated or damaged"):
        check_archive(tmp_path / "page")
    (tmp_path / "page").write_bytes(gzip.compress(b"<html>"))
    with pytest.raises(GancompError, match="page: truncated or damaged"):
        check_archive(tmp_path / "page")
    with pytest.raises(GancompError, match="none: no such file"):
        check_archive(tmp_path / "none")
