"""Zstandard, from the standard library where it has it (3.14), else from its backport."""

from __future__ import annotations

import sys
from typing import IO

from indexer.errors import ContentError

if sys.version_info >= (3, 14):
    from compression import zstd
else:
    from backports import zstd

# Measured on 11,186 real records (bench/levels.py): shards come to 1.5 % more bytes than at level
# 19, in a sixteenth of its time; level 12 takes twice as long as 8 and saves 0.1 %.
LEVEL = 8
# Of repodata.json a fifth is hashes: matches of less than 6 bytes among their digits cost more than
# they save, and the levels below 16 take them. Without them it comes to 9 % more bytes than at
# level 19, where level 12 has 18 %, in a third of level 12's time.
_LARGE: dict[int, int] = {
    zstd.CompressionParameter.compression_level: LEVEL,
    zstd.CompressionParameter.min_match: 6,
}
# Threads beside the calling one. The bytes are the same with any number of them but none.
_WORKERS = 2

__all__ = ["LEVEL", "compress", "decompress", "packer", "reader", "zstd"]


def compress(data: bytes, level: int | None = None) -> bytes:
    """One frame at a fixed level, with its size and without a checksum: same bytes each time."""
    return zstd.compress(data, LEVEL if level is None else level)


def packer() -> zstd.ZstdCompressor:
    """A compressor of one large frame, piece by piece: the same bytes however it is cut up."""
    workers = zstd.CompressionParameter.nb_workers
    # None where libzstd was built without threads.
    return zstd.ZstdCompressor(options=_LARGE | {workers: min(_WORKERS, workers.bounds()[1])})


def decompress(data: bytes, limit: int) -> bytes:
    """Undo ``compress``. Raises ContentError for what isn't zstd, or gives more than ``limit``."""
    try:
        unpacker = zstd.ZstdDecompressor()
        result = unpacker.decompress(data, limit + 1)
    except zstd.ZstdError as error:
        raise ContentError(f"not zstd: {error}") from error
    if len(result) > limit:
        raise ContentError(f"more than {limit} bytes when decompressed")
    if not unpacker.eof:
        raise ContentError("zstd data that breaks off")
    if unpacker.unused_data:
        raise ContentError("bytes after the end of the zstd data")
    return result


def reader(file: IO[bytes]) -> zstd.ZstdFile:
    """A stream of the decompressed bytes."""
    return zstd.ZstdFile(file, "rb")
