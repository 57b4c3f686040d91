"""Files: never half written, equal bytes for equal content, errors with their names if damaged."""

from __future__ import annotations

import contextlib
import errno
import fcntl
import json
import os
import resource
import signal
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import torch
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from safetensors.torch import save_file
from torch import Tensor

from gancomp.errors import GancompError
from gancomp.nets import load_generator, save_generator
from gancomp.pipeline import files
from gancomp.pipeline.checkpoints import HEADER_KEY, Header, load_tensors, read_header, save_tensors, tensors_sha256
from gancomp.pipeline.files import (
    CHECKSUM,
    atomic,
    atomic_folder,
    file_sha256,
    read_csv,
    read_json,
    write_csv,
    write_json,
    write_text,
)
from gancomp.pipeline.provenance import code_version, provenance
from gancomp.spec import GeneratorSpec
from gancomp.train.state import Progressed, save_state
from tests.strategies import lively

SPEC = GeneratorSpec(widths=(2, 1, 2, 3, 1, 2, 2, 1), block="separable", size=8, blocks=3)
LARGE = {"weight": torch.zeros(10_000)}

WRITERS: dict[str, Callable[[Path], None]] = {
    "text": lambda path: write_text(path, "x" * 40_000),
    "json": lambda path: write_json(path, ["x" * 40_000]),
    "csv": lambda path: write_csv(path, ["a"], [{"a": "x" * 40_000}]),
    "tensors": lambda path: save_tensors(path, LARGE, {}),
    "resume state": lambda path: save_state(path, "signature", Progressed(), {"net": torch.nn.Linear(100, 100)}),
}


@pytest.fixture(params=WRITERS)
def write(request: pytest.FixtureRequest) -> Callable[[Path], None]:
    return WRITERS[request.param]


@contextlib.contextmanager
def full_disk(room: int = 2_000) -> Iterator[None]:
    """No file may grow beyond *room* bytes, which the system refuses as it refuses a full disk."""
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (room, hard))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))


def names(folder: Path) -> list[str]:
    """The names of files in *folder*, including hidden ones."""
    return [path.name for path in folder.iterdir()]


# --- atomic writes -----------------------------------------------------------------------------


def test_a_file_appears_whole_with_its_folder(tmp_path: Path, write: Callable[[Path], None]) -> None:
    path = tmp_path / "new" / "folder" / "file.bin"
    write(path)
    assert path.stat().st_size >= 40_000
    assert names(path.parent) == [path.name]


def test_a_reader_sees_the_old_file_until_the_new_one_is_whole(tmp_path: Path) -> None:
    path = tmp_path / "file.txt"
    write_text(path, "old")
    with atomic(path) as temporary:
        temporary.write_text("half")
        assert path.read_text() == "old"
        assert temporary.parent == path.parent  # a rename stays within one disk
        assert temporary.suffix == path.suffix
    assert path.read_text() == "half"


@pytest.mark.parametrize("error", [ValueError, KeyboardInterrupt, OSError])
def test_a_failure_leaves_the_old_file_and_nothing_else(tmp_path: Path, error: type[BaseException]) -> None:
    path = tmp_path / "file.txt"
    write_text(path, "old")

    def fail(temporary: Path) -> None:
        temporary.write_text("half")
        raise error("what went wrong")

    with pytest.raises((error, GancompError), match="what went wrong"), atomic(path) as temporary:
        fail(temporary)
    assert path.read_text() == "old"
    assert names(tmp_path) == [path.name]


def test_a_full_disk_is_one_error_by_name(tmp_path: Path, write: Callable[[Path], None]) -> None:
    path = tmp_path / "file.bin"
    path.write_text("old")
    with full_disk(), pytest.raises(GancompError, match=r"file\.bin: cannot be written"):
        write(path)
    assert path.read_text() == "old"
    assert names(tmp_path) == [path.name]


def test_a_folder_that_cannot_be_made_is_one_error_by_name(tmp_path: Path, write: Callable[[Path], None]) -> None:
    (tmp_path / "taken").write_text("a file, not a folder")
    with pytest.raises(GancompError, match=r"file\.bin: cannot be written: (Not a directory|File exists)"):
        write(tmp_path / "taken" / "file.bin")


def test_a_folder_is_not_overwritten(tmp_path: Path, write: Callable[[Path], None]) -> None:
    path = tmp_path / "file.bin"
    path.mkdir()
    with pytest.raises(GancompError, match=r"file\.bin: cannot be written"):
        write(path)
    assert names(tmp_path) == [path.name]


@pytest.mark.skipif(os.geteuid() == 0, reason="the superuser may write everywhere")
def test_a_folder_without_permission_is_one_error_by_name(tmp_path: Path) -> None:
    folder = tmp_path / "locked"
    folder.mkdir(mode=0o500)
    with pytest.raises(GancompError, match=r"file\.txt: cannot be written: Permission denied"):
        write_text(folder / "file.txt", "new")


def test_two_writers_of_one_file_do_not_mix(tmp_path: Path) -> None:
    path = tmp_path / "file.txt"
    with atomic(path) as first, atomic(path) as second:
        assert first != second
        first.write_text("first")
        second.write_text("second")
    assert path.read_text() == "first"  # the last to finish
    assert names(tmp_path) == [path.name]


def killed_in(write: Callable[[], Any]) -> None:
    """Write in a process that is killed before the file has its name."""

    def die(_: int) -> None:
        os.kill(os.getpid(), signal.SIGKILL)

    child = os.fork()
    if not child:
        files.os.fsync = die
        with contextlib.suppress(BaseException):
            write()
        os._exit(1)
    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == -signal.SIGKILL


def test_what_killed_writers_left_does_not_stay(tmp_path: Path) -> None:
    path = tmp_path / "file.txt"
    with atomic(path) as held:  # makes the second of them leave a file of another number
        killed_in(lambda: write_text(path, "killed"))
        held.write_text("old")
    assert len(names(tmp_path)) == 2
    killed_in(lambda: write_text(path, "killed again"))
    assert len(names(tmp_path)) == 2
    assert path.read_text() == "old"
    write_text(path, "new")
    assert names(tmp_path) == [path.name]
    assert path.read_text() == "new"


def test_a_writer_at_work_is_left_alone(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, write: Callable[[Path], None]
) -> None:
    """Its file stays locked until the end, for all libraries; a second writer uses another file."""
    path, fsync, at_work = tmp_path / "file.bin", os.fsync, []

    def another_comes(handle: int) -> None:
        fsync(handle)
        at_work.append(names(tmp_path))
        if len(at_work) == 1:
            write(path)

    monkeypatch.setattr(files.os, "fsync", another_comes)
    write(path)
    assert [len(found) for found in at_work] == [1, 2]
    assert names(tmp_path) == [path.name]


def test_many_writers_at_once(tmp_path: Path) -> None:
    path, children = tmp_path / "file.txt", []
    for letter in "abcd":
        if not (child := os.fork()):
            with contextlib.suppress(BaseException):
                for _ in range(100):
                    write_text(path, letter * 1000)
                os._exit(0)
            os._exit(1)
        children.append(child)
    assert [os.waitpid(child, 0)[1] for child in children] == [0] * 4
    assert path.read_text() in {letter * 1000 for letter in "abcd"}
    assert names(tmp_path) == [path.name]


def test_where_files_cannot_be_locked_they_are_written_all_the_same(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, write: Callable[[Path], None]
) -> None:
    def unsupported(*_: Any) -> None:
        raise OSError(errno.ENOLCK, "No locks available")

    monkeypatch.setattr(fcntl, "flock", unsupported)
    write(tmp_path / "file.bin")
    assert names(tmp_path) == ["file.bin"]


@pytest.mark.parametrize(("mask", "mode"), [(0o022, 0o644), (0o077, 0o600)])
def test_files_are_as_readable_as_any_other(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, mask: int, mode: int
) -> None:
    monkeypatch.setattr(files, "_umask", lambda: mask)
    write_text(tmp_path / "file.txt", "new")
    assert (tmp_path / "file.txt").stat().st_mode & 0o777 == mode


# --- text, JSON, CSV ---------------------------------------------------------------------------


def test_equal_json_is_equal_bytes(tmp_path: Path) -> None:
    for name, data in (("a", {"x": 1, "y": "λ"}), ("b", {"y": "λ", "x": 1})):
        write_json(tmp_path / name, data)
    assert (tmp_path / "a").read_bytes() == (tmp_path / "b").read_bytes()
    assert read_json(tmp_path / "a") == {"x": 1, "y": "λ"}
    assert (tmp_path / "a").read_text(encoding="utf-8").endswith("}\n")


def test_a_flipped_bit_of_json_is_refused_or_harmless(tmp_path: Path) -> None:
    path, data = tmp_path / "metrics.json", {"fid": 98.4, "l1": -6.33e-2, "of": [{"λ": True}, None], "images": 313}
    write_json(path, data)
    whole, refused = path.read_bytes(), 0
    for place in range(8 * len(whole)):
        damaged = bytearray(whole)
        damaged[place // 8] ^= 1 << place % 8
        path.write_bytes(damaged)
        try:
            found = read_json(path)
        except GancompError as error:
            refused += 1
            assert str(path) in str(error)  # noqa: PT017
        else:  # white space, an exponent's e as E, or the checksum's own name
            assert {name: value for name, value in found.items() if value != json.loads(whole)[CHECKSUM]} == data
    assert refused > 0.9 * 8 * len(whole)


def test_json_from_before_there_was_a_checksum_is_read(tmp_path: Path) -> None:
    (tmp_path / "metrics.json").write_text('{"fid": 98.4}')
    assert read_json(tmp_path / "metrics.json") == {"fid": 98.4}


def test_a_changed_number_in_json_says_what_to_do(tmp_path: Path) -> None:
    path = tmp_path / "metrics.json"
    write_json(path, {"fid": 98.4, "by epoch": {10: 1, 9: 2}})
    assert read_json(path) == {"fid": 98.4, "by epoch": {"10": 1, "9": 2}}
    path.write_text(path.read_text().replace("98.4", "18.4"))
    with pytest.raises(GancompError, match=r"metrics\.json: damaged, or changed by hand: .* delete it and run its"):
        read_json(path)


@pytest.mark.parametrize(
    "content", [b"", b"{", b"{'a': 1}", b"\xff\xfe", b"[" * 100_000], ids=["empty", "cut", "other", "bytes", "deep"]
)
def test_damaged_json_is_refused_by_name(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "metrics.json"
    path.write_bytes(content)
    with pytest.raises(GancompError, match=r"metrics\.json: not valid JSON"):
        read_json(path)


def test_missing_json_is_refused_by_name(tmp_path: Path) -> None:
    with pytest.raises(GancompError, match=r"metrics\.json: missing"):
        read_json(tmp_path / "metrics.json")
    with pytest.raises(GancompError, match=r"cannot be read: Is a directory"):
        read_json(tmp_path)


def test_csv_in_the_order_given(tmp_path: Path) -> None:
    path = tmp_path / "log.csv"
    write_csv(path, ["b", "a"], [{"a": 1, "b": 'x, "y"'}, {"a": 2, "b": "λ"}])
    assert path.read_bytes() == 'b,a\n"x, ""y""",1\nλ,2\n'.encode()


def test_checked_csv_reads_as_it_was_written(tmp_path: Path) -> None:
    path, rows = tmp_path / "search.csv", [{"b": 'x, "y"', "a": "1"}, {"b": "λ\n", "a": ""}]
    for checked in (False, True):
        write_csv(path, ["b", "a"], rows, checked=checked)
        assert read_csv(path) == (("b", "a"), rows)
    path.write_text(path.read_text().replace(",1,", ",7,"))
    with pytest.raises(
        GancompError, match=r"search\.csv, line 2: damaged: its checksum .* delete the file and run its"
    ):
        read_csv(path)


def test_csv_refuses_a_column_that_it_was_not_told(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="'c'"):
        write_csv(tmp_path / "log.csv", ["a"], [{"a": 1, "c": 2}])
    assert names(tmp_path) == []


def test_hash_of_a_file(tmp_path: Path) -> None:
    (tmp_path / "file").write_bytes(b"abc")
    assert file_sha256(tmp_path / "file") == "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad"


def test_hash_of_a_folder_is_over_names_and_contents(tmp_path: Path) -> None:
    hashes = set()
    for at, (name, content) in enumerate([("a/b", "1"), ("a/b", "2"), ("b", "1")]):
        folder = tmp_path / str(at)
        write_text(folder / name, content)
        hashes.add(file_sha256(folder))
    assert len(hashes) == 3
    write_text(tmp_path / "again/a/b", "1")
    assert file_sha256(tmp_path / "again") in hashes


def test_a_folder_takes_the_place_of_another_only_if_it_is_whole(tmp_path: Path) -> None:
    def write(folder: Path, content: str) -> None:
        with atomic_folder(folder) as temporary:
            (temporary / "file").write_text(content)
            if content == "half":
                raise RuntimeError

    folder = tmp_path / "folder"
    write(folder, "old")
    write(folder, "new")
    with pytest.raises(RuntimeError):
        write(folder, "half")
    assert (folder / "file").read_text() == "new"
    assert names(tmp_path) == ["folder"]
    with pytest.raises(GancompError, match="folder/file/package: cannot be written"):
        write(folder / "file/package", "new")


# --- tensors -----------------------------------------------------------------------------------


def test_equal_content_is_equal_bytes(tmp_path: Path) -> None:
    a, b = torch.arange(6.0).view(2, 3), torch.arange(4)
    save_tensors(tmp_path / "1", {"a": a, "b": b}, {"x": 1, "y": 2})
    save_tensors(tmp_path / "2", {"b": b.clone(), "a": a.t().contiguous().t()}, {"y": 2, "x": 1})
    assert (tmp_path / "1").read_bytes() == (tmp_path / "2").read_bytes()


def test_tensors_and_header_come_back(tmp_path: Path) -> None:
    weight = torch.randn(3, 4, requires_grad=True)
    # Views of one storage, and none at all: all is saved as it reads.
    given_ = {"weight": weight, "view": weight[:2, 1:], "twice": weight, "scalar": torch.tensor(5), "none": weight[:0]}
    save_tensors(tmp_path / "file", given_, {"text": "λ", "list": [1, 2.5, None]})
    tensors, header = load_tensors(tmp_path / "file")
    assert header == {"text": "λ", "list": [1, 2.5, None]}
    assert tensors.keys() == given_.keys()
    for name, tensor in given_.items():
        assert torch.equal(tensors[name], tensor)
        assert tensors[name].dtype == tensor.dtype


def test_any_type_of_number_is_hashed() -> None:
    types = (torch.float32, torch.float16, torch.bfloat16, torch.int64, torch.uint8, torch.bool)
    hashes = {tensors_sha256({"a": torch.tensor([0, 1]).to(kind)}) for kind in types}
    assert len(hashes) == len(types)
    assert tensors_sha256({"a": torch.zeros(0), "b": torch.tensor(1.0)})


def test_hash_of_tensors_is_over_their_content() -> None:
    a, b = torch.arange(6.0).view(2, 3), torch.arange(2)
    same = tensors_sha256({"a": a, "b": b})
    assert tensors_sha256({"b": b, "a": a.t().contiguous().t()}) == same
    others: list[dict[str, Tensor]] = [
        {"a": a, "c": b},
        {"a": a},
        {"a": a + 1e-6, "b": b},
        {"a": a.view(3, 2), "b": b},
        {"a": a.double(), "b": b},
    ]
    hashes = {tensors_sha256(other) for other in others}
    assert len(hashes | {same}) == len(others) + 1


# --- damaged and foreign checkpoints -----------------------------------------------------------


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory) -> bytes:
    """A checkpoint's bytes."""
    path = tmp_path_factory.mktemp("whole") / "model.safetensors"
    save_generator(path, lively(SPEC), experiment="mine", stage="teacher", signature="abc")
    return path.read_bytes()


READERS = [read_header, load_tensors, load_generator]


@pytest.mark.parametrize("read", READERS)
@pytest.mark.parametrize("length", [0, 1, 7, 8, 9, 100, -1])
def test_a_file_that_is_cut_off_is_refused_by_name(
    tmp_path: Path, whole: bytes, length: int, read: Callable[[Path], Any]
) -> None:
    path = tmp_path / "model.safetensors"
    path.write_bytes(whole[:length])
    with pytest.raises(GancompError, match=r"model\.safetensors: not a readable safetensors file"):
        read(path)


@pytest.mark.parametrize("read", READERS)
def test_a_missing_file_is_refused_by_name(tmp_path: Path, read: Callable[[Path], Any]) -> None:
    with pytest.raises(GancompError, match=r"model\.safetensors: no such file; run the stage that writes it first"):
        read(tmp_path / "model.safetensors")
    with pytest.raises(GancompError, match=str(tmp_path)):
        read(tmp_path)


@pytest.mark.parametrize("read", READERS)
@pytest.mark.parametrize(
    "metadata",
    [
        None,
        {"format": "pt"},
        {HEADER_KEY: ""},
        {HEADER_KEY: "no JSON"},
        {HEADER_KEY: "[1]"},
        {HEADER_KEY: "[" * 100_000},
    ],
    ids=["none", "foreign", "empty", "text", "list", "deep"],
)
def test_a_foreign_file_is_refused_by_name(
    tmp_path: Path, metadata: dict[str, str] | None, read: Callable[[Path], Any]
) -> None:
    path = tmp_path / "model.safetensors"
    save_file({"weight": torch.zeros(2)}, path, metadata=metadata)
    with pytest.raises(GancompError, match=r"model\.safetensors: .*gancomp wrote \(no header\)"):
        read(path)


@pytest.mark.parametrize("read", READERS)
def test_a_pickle_is_not_opened(tmp_path: Path, read: Callable[[Path], Any]) -> None:
    class Bomb:
        def __reduce__(self) -> Any:
            return os.mkdir, (str(tmp_path / "exploded"),)

    path = tmp_path / "model.safetensors"
    torch.save({"weight": Bomb()}, path)
    with pytest.raises(GancompError, match=r"model\.safetensors: not a readable safetensors file"):
        read(path)
    assert not (tmp_path / "exploded").exists()


def read_or_refuse(path: Path) -> None:
    """Every reader gives a result or a GancompError that names the file; nothing else."""
    for read in READERS:
        try:
            read(path)
        except GancompError as error:
            assert str(path) in str(error)  # noqa: PT017 (many a change does no harm)


@settings(deadline=None, max_examples=60, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(data=st.data())
def test_flipped_bits_in_the_header_are_refused_or_harmless(tmp_path: Path, whole: bytes, data: st.DataObject) -> None:
    header = 8 + int.from_bytes(whole[:8], "little")
    damaged = bytearray(whole)
    for place in data.draw(st.lists(st.integers(0, header - 1), min_size=1, max_size=3)):
        damaged[place] ^= 1 << data.draw(st.integers(0, 7))
    path = tmp_path / "model.safetensors"
    path.write_bytes(damaged)
    read_or_refuse(path)


@settings(deadline=None, max_examples=100, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(data=st.data())
def test_a_flipped_bit_anywhere_is_refused_or_harmless(tmp_path: Path, whole: bytes, data: st.DataObject) -> None:
    """A file that can still be read has the original content."""
    place, bit = data.draw(st.integers(0, len(whole) - 1)), data.draw(st.integers(0, 7))
    path = tmp_path / "model.safetensors"
    path.write_bytes(whole)
    expected, header = load_tensors(path)
    path.write_bytes(whole[:place] + bytes([whole[place] ^ 1 << bit]) + whole[place + 1 :])
    try:
        found, said = load_tensors(path)
    except GancompError as error:
        assert str(path) in str(error)  # noqa: PT017 (a space more in the header does no harm)
    else:
        assert tensors_sha256(found) == tensors_sha256(expected)
        assert header.items() <= said.items()  # the name of the hash may be what was damaged


@pytest.mark.parametrize("place", [-1, -1000, -3000])
def test_a_flipped_bit_of_a_weight_is_refused(tmp_path: Path, whole: bytes, place: int) -> None:
    damaged = bytearray(whole)
    damaged[place] ^= 1
    path = tmp_path / "model.safetensors"
    path.write_bytes(damaged)
    for read in (load_tensors, load_generator):
        with pytest.raises(GancompError, match=r"model\.safetensors: damaged: .* delete it and run its stage again"):
            read(path)


def test_a_checkpoint_from_before_there_was_a_hash_is_read(tmp_path: Path) -> None:
    generator = lively(SPEC)
    about = Header(spec=SPEC, experiment="mine", stage="teacher", signature="abc")
    path = tmp_path / "model.safetensors"
    save_file(generator.state_dict(), path, metadata={HEADER_KEY: about.model_dump_json()})
    assert read_header(path) == about
    assert tensors_sha256(load_generator(path).state_dict()) == tensors_sha256(generator.state_dict())


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=8) | st.sampled_from(["4_4", "8x8"]),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner, max_size=3),
    max_leaves=5,
)


@settings(deadline=None, max_examples=60, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    spec=st.fixed_dictionaries(
        {"widths": JSON}, optional={key: JSON for key in GeneratorSpec.model_fields if key != "widths"}
    )
    | JSON,
    rest=st.dictionaries(st.sampled_from([*Header.model_fields, "other"]), JSON, max_size=2),
)
def test_any_header_is_read_or_refused(tmp_path: Path, spec: Any, rest: dict[str, Any]) -> None:
    path = tmp_path / "model.safetensors"
    save_file({"weight": torch.zeros(2)}, path, metadata={HEADER_KEY: json.dumps({"spec": spec} | rest)})
    read_or_refuse(path)


# --- provenance --------------------------------------------------------------------------------


def test_provenance_is_plain_data_and_holds_no_path() -> None:
    told = provenance()
    assert {"code_version", "python", "torch", "processor", "cores", "system"} <= told.keys()
    assert str(Path.cwd()) not in json.dumps(told)
    assert code_version().startswith(Header.model_fields["code_version"].default)


def test_the_version_needs_no_git(monkeypatch: pytest.MonkeyPatch) -> None:
    code_version.cache_clear()
    monkeypatch.setenv("PATH", "")
    try:
        assert code_version() == Header.model_fields["code_version"].default
    finally:
        code_version.cache_clear()
