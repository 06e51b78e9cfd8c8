"""Which part of a channel is meant: its subdirs, and packages by globs of their names."""

from __future__ import annotations

from collections.abc import Iterable
from fnmatch import fnmatchcase

# CEP 26, and what else conda knows. A channel at an address doesn't list its own.
KNOWN_SUBDIRS = (
    "noarch",
    *("linux-64", "linux-aarch64", "linux-ppc64le", "linux-32", "linux-armv6l", "linux-armv7l"),
    *("linux-ppc64", "linux-riscv32", "linux-riscv64", "linux-s390x", "osx-64", "osx-arm64"),
    *("win-64", "win-arm64", "win-32", "freebsd-64", "emscripten-wasm32", "wasi-wasm32"),
    "zos-z",
)


def wanted(name: str, globs: Iterable[str]) -> bool:
    """Whether a package is among these globs; without any, each is."""
    patterns = tuple(globs)
    return not patterns or any(fnmatchcase(name, pattern) for pattern in patterns)


def unmatched(globs: Iterable[str], names: Iterable[str]) -> list[str]:
    """The globs that none of these names match: whoever wrote them may have meant others."""
    known = set(names)
    return [glob for glob in globs if not any(fnmatchcase(name, glob) for name in known)]
