"""Writing into folders: what is there is whole, whoever else writes or is killed meanwhile."""

from __future__ import annotations

import io
import os
import signal
import subprocess
import sys
import threading
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from indexer.errors import ContentError, NotFoundError, RegistryError
from indexer.registry.address import RegistryAddress
from indexer.registry.content import Content, Descriptor, Digest
from indexer.registry.layout import LayoutRegistry
from tests.registry.help import LARGE, Pieces, content_of

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from indexer.registry.base import How

REPOSITORY = "forge/linux-64/zlib"
SOURCE = "forge/noarch/source"
DATA = b"the bytes of a blob"
CONTENT = content_of(DATA)
PROJECT = Path(__file__).parents[2]


@pytest.fixture
def root(tmp_path: Path) -> Path:
    folder = tmp_path / "registry"
    folder.mkdir()
    return folder


@pytest.fixture
def registry(root: Path) -> LayoutRegistry:
    return opened(root)


def opened(root: Path) -> LayoutRegistry:
    return LayoutRegistry(RegistryAddress.parse(f"ocidir://{root}"))


def path_of(root: Path, data: bytes, repository: str = REPOSITORY) -> Path:
    return root / repository / "blobs" / "sha256" / Digest.of(data).hex


def part_of(root: Path, data: bytes) -> Path:
    path = path_of(root, data)
    return path.with_name(f".{path.name}.part")


@pytest.mark.parametrize("data", [b"", DATA, LARGE], ids=["empty", "small", "large"])
def test_a_blob_is_copied_once(registry: LayoutRegistry, root: Path, data: bytes) -> None:
    told: list[int] = []
    content = content_of(data, told.append)
    assert registry.put_blob(REPOSITORY, content) == "sent"
    assert path_of(root, data).read_bytes() == data
    assert told == sorted(told)
    assert (told[0], told[-1]) == (0, len(data))
    assert len(told) == 1 + -(-len(data) // 2**20)
    assert registry.put_blob(REPOSITORY, content) == "there"
    assert told.count(0) == 1
    assert not part_of(root, data).exists()


def test_a_reader_never_sees_half_a_blob(registry: LayoutRegistry, root: Path) -> None:
    seen: list[bool] = []

    def look(_position: int) -> None:
        seen.append(opened(root).has_blob(REPOSITORY, Digest.of(LARGE)))

    registry.put_blob(REPOSITORY, content_of(LARGE, look))
    assert seen == [False] * 5
    look(0)
    assert seen[-1]


def test_a_blob_is_whole_from_the_moment_that_it_has_its_name(
    registry: LayoutRegistry, monkeypatch: pytest.MonkeyPatch
) -> None:
    sizes: list[int] = []
    replace = Path.replace

    def named(part: Path, target: Path) -> Path:
        sizes.append(part.stat().st_size)
        return replace(part, target)

    registry.put_blob(REPOSITORY, content_of(b"another"))
    monkeypatch.setattr(Path, "replace", named)
    registry.put_blob(REPOSITORY, CONTENT)
    assert sizes == [len(DATA)]


def test_a_source_that_never_ends_fills_no_disk(registry: LayoutRegistry) -> None:
    class Endless(io.BytesIO):
        reads = 0

        def read(self, size: int | None = -1, /) -> bytes:
            self.reads += 1
            assert self.reads < 10
            return b"x" * (size or 0)

    content = Content(Digest.of(LARGE), len(LARGE), Endless)
    with pytest.raises(ContentError, match="its bytes are not those"):
        registry.put_blob(REPOSITORY, content)


def test_two_threads_with_the_same_blob_copy_it_once(root: Path) -> None:
    together = threading.Barrier(8)

    def write(_: int) -> How:
        together.wait()
        return opened(root).put_blob(REPOSITORY, content_of(LARGE))

    with ThreadPoolExecutor(8) as pool:
        assert sorted(pool.map(write, range(8))) == ["sent"] + ["there"] * 7
    assert path_of(root, LARGE).read_bytes() == LARGE


def test_who_waited_for_a_writer_that_failed_writes_it(root: Path) -> None:
    begun, wrong = threading.Event(), LARGE[:-1] + b"x"

    def told(position: int) -> None:
        if position:
            begun.set()

    bad = Content(Digest.of(LARGE), len(LARGE), lambda: Pieces(wrong), told)
    with ThreadPoolExecutor(2) as pool:
        first = pool.submit(opened(root).put_blob, REPOSITORY, bad)
        assert begun.wait(10)
        second = pool.submit(opened(root).put_blob, REPOSITORY, content_of(LARGE))
        assert isinstance(first.exception(10), ContentError)
        assert second.result(10) == "sent"
    assert path_of(root, LARGE).read_bytes() == LARGE


WRITER = """
import io, sys
from pathlib import Path
from indexer.registry.address import RegistryAddress
from indexer.registry.content import Content, Digest
from indexer.registry.layout import LayoutRegistry

root, repository, file, stop_at = sys.argv[1:]
digest = Digest.of(Path(file).read_bytes())

def at(position):
    if position >= int(stop_at):
        # Ready to be killed, or to go on when it is told to.
        print("there", flush=True)
        sys.stdin.readline()

content = Content.of_file(Path(file), digest, Path(file).stat().st_size, at)
registry = LayoutRegistry(RegistryAddress.parse(f"ocidir://{root}"))
print(registry.put_blob(repository, content), flush=True)
"""


def writer(root: Path, file: Path, stop_at: int) -> subprocess.Popen[str]:
    """Another process that copies a file, and stops where it has got so far."""
    return subprocess.Popen(
        [sys.executable, "-c", WRITER, str(root), REPOSITORY, str(file), str(stop_at)],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
        cwd=PROJECT,
    )


@pytest.fixture
def large_file(tmp_path: Path) -> Path:
    path = tmp_path / "large"
    path.write_bytes(LARGE)
    return path


def test_what_a_killed_run_left_is_overwritten(
    registry: LayoutRegistry, root: Path, large_file: Path
) -> None:
    with writer(root, large_file, 1) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == "there\n"
        assert not registry.has_blob(REPOSITORY, Digest.of(LARGE))
        process.send_signal(signal.SIGKILL)
    assert part_of(root, LARGE).exists()
    # What it left is longer than the next one, too.
    with part_of(root, LARGE).open("ab") as part:
        part.write(b"x" * (len(LARGE) + 1))
    assert registry.put_blob(REPOSITORY, content_of(LARGE)) == "sent"
    assert path_of(root, LARGE).read_bytes() == LARGE
    assert not part_of(root, LARGE).exists()


def test_two_processes_with_the_same_blob_copy_it_once(
    registry: LayoutRegistry, root: Path, large_file: Path
) -> None:
    with writer(root, large_file, 2**20) as process, ThreadPoolExecutor(1) as pool:
        assert process.stdin is not None
        assert process.stdout is not None
        assert process.stdout.readline() == "there\n"
        waiting = pool.submit(registry.put_blob, REPOSITORY, content_of(LARGE))
        assert process.poll() is None
        process.stdin.write("\n" * 10)
        process.stdin.close()
        assert waiting.result(10) == "there"
        assert process.stdout.read().endswith("sent\n")
    assert path_of(root, LARGE).read_bytes() == LARGE


class Broken(io.BytesIO):
    """Breaks after its first bytes."""

    def read(self, size: int | None = -1, /) -> bytes:
        if self.tell():
            raise OSError(5, "Input/output error")
        return super().read(size and 5)


def missing() -> io.BytesIO:
    raise PermissionError(13, "Permission denied")


@pytest.mark.parametrize(
    ("open_", "words"),
    [
        (lambda: Pieces(DATA[:-1]), "its bytes are not those"),
        (lambda: Pieces(DATA + b"x"), "its bytes are not those"),
        (lambda: Pieces(DATA[::-1]), "its bytes are not those"),
        (lambda: Pieces(b""), "its bytes are not those"),
        (lambda: Broken(DATA), "can't be read: Input/output error"),
        (missing, "can't be read: Permission denied"),
    ],
)
def test_content_that_is_not_its_digest_s_is_not_stored(
    registry: LayoutRegistry, root: Path, open_: Callable[[], io.BytesIO], words: str
) -> None:
    with pytest.raises(ContentError, match=words):
        registry.put_blob(REPOSITORY, Content(Digest.of(DATA), len(DATA), open_))
    assert not registry.has_blob(REPOSITORY, Digest.of(DATA))
    assert registry.put_blob(REPOSITORY, CONTENT) == "sent"
    assert path_of(root, DATA).read_bytes() == DATA


def test_a_blob_of_the_wrong_size_is_replaced(registry: LayoutRegistry, root: Path) -> None:
    registry.put_blob(REPOSITORY, CONTENT)
    path_of(root, DATA).write_bytes(DATA[:5])
    assert registry.put_blob(REPOSITORY, CONTENT) == "sent"
    assert path_of(root, DATA).read_bytes() == DATA


@pytest.fixture
def victim(tmp_path: Path) -> Iterator[Path]:
    """A file of somebody else's, which nothing may touch."""
    path = tmp_path / "victim"
    path.write_bytes(b"precious")
    yield path
    assert path.read_bytes() == b"precious"


def test_a_link_in_the_place_of_the_copy_is_not_written_through(
    registry: LayoutRegistry, root: Path, victim: Path
) -> None:
    part_of(root, DATA).parent.mkdir(parents=True)
    part_of(root, DATA).symlink_to(victim)
    with pytest.raises(RegistryError, match="can't be written"):
        registry.put_blob(REPOSITORY, CONTENT)


def test_a_link_in_the_place_of_the_blob_is_replaced(
    registry: LayoutRegistry, root: Path, victim: Path
) -> None:
    path_of(root, DATA).parent.mkdir(parents=True)
    path_of(root, DATA).symlink_to(victim)
    assert registry.put_blob(REPOSITORY, CONTENT) == "sent"
    assert not path_of(root, DATA).is_symlink()
    assert path_of(root, DATA).read_bytes() == DATA


def test_a_folder_that_may_not_be_written_is_named(registry: LayoutRegistry, root: Path) -> None:
    (root / "forge").write_bytes(b"a file")
    with pytest.raises(RegistryError, match=f"{root}/{REPOSITORY} can't be written"):
        registry.put_blob(REPOSITORY, CONTENT)


def test_a_mounted_blob_takes_no_room(registry: LayoutRegistry, root: Path) -> None:
    registry.put_blob(SOURCE, CONTENT)
    assert registry.put_blob(REPOSITORY, CONTENT, SOURCE) == "mounted"
    assert os.path.samefile(path_of(root, DATA), path_of(root, DATA, SOURCE))  # noqa: PTH121  two
    assert registry.tags(REPOSITORY) == []


@pytest.mark.parametrize("held", [None, DATA[:5]], ids=["absent", "damaged"])
def test_what_can_t_be_mounted_is_copied(
    registry: LayoutRegistry, root: Path, held: bytes | None
) -> None:
    if held is not None:
        registry.put_blob(SOURCE, CONTENT)
        path_of(root, DATA, SOURCE).write_bytes(held)
    assert registry.put_blob(REPOSITORY, CONTENT, SOURCE) == "sent"
    assert path_of(root, DATA).read_bytes() == DATA


@pytest.mark.parametrize("held", [b"", DATA[:5], b"rubbish that is longer than the blob", DATA])
def test_a_download_is_the_blob_whatever_the_file_held(
    registry: LayoutRegistry, held: bytes
) -> None:
    registry.put_blob(REPOSITORY, CONTENT)
    file = io.BytesIO(held)
    registry.download(REPOSITORY, Descriptor("", CONTENT.digest, CONTENT.size), file)
    assert file.getvalue() == DATA


@pytest.mark.parametrize("damage", [b"", DATA[:-1], DATA + b"x", DATA[::-1], DATA * 2**17])
def test_a_download_of_damaged_bytes_leaves_an_empty_file(
    registry: LayoutRegistry, root: Path, damage: bytes
) -> None:
    registry.put_blob(REPOSITORY, CONTENT)
    path_of(root, DATA).write_bytes(damage)
    file = io.BytesIO(b"rubbish")
    with pytest.raises(ContentError, match="don't have its digest"):
        registry.download(REPOSITORY, Descriptor("", CONTENT.digest, CONTENT.size), file)
    assert file.getvalue() == b""


def test_a_download_of_nothing_is_told_apart(registry: LayoutRegistry, root: Path) -> None:
    descriptor = Descriptor("", CONTENT.digest, CONTENT.size)
    with pytest.raises(NotFoundError, match="is missing"):
        registry.download(REPOSITORY, descriptor, io.BytesIO())
    path_of(root, DATA).parent.mkdir(parents=True)
    os.mkfifo(path_of(root, DATA))
    with pytest.raises(ContentError, match="is not a file"):
        registry.download(REPOSITORY, descriptor, io.BytesIO())
