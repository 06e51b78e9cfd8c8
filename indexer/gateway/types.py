"""Media types, by the endings of file names."""

from __future__ import annotations

import mimetypes

_DEFAULT = "application/octet-stream"
# Nothing that a browser would run. An index that is compressed is a file of that kind, not an
# encoding of another one: clients unpack it themselves.
_INERT = {
    "conda": _DEFAULT,
    "rpm": "application/x-rpm",
    "json": "application/json",
    "yaml": "application/yaml",
    "xml": "application/xml",
    "txt": "text/plain; charset=utf-8",
    "asc": "text/plain; charset=utf-8",
    "gz": "application/gzip",
    "zst": "application/zstd",
    "bz2": "application/x-bzip2",
    "xz": "application/x-xz",
    "tar": "application/x-tar",
}
_PAGES = {
    "html": "text/html; charset=utf-8",
    "js": "text/javascript; charset=utf-8",
    "css": "text/css; charset=utf-8",
    "svg": "image/svg+xml",
}
_known = mimetypes.MimeTypes()


def media_type(path: str) -> str:
    """The Content-Type of a file of a site, by its name."""
    ending = path.rpartition(".")[2]
    if (found := _INERT.get(ending) or _PAGES.get(ending)) is not None:
        return found
    guessed, encoding = _known.guess_type(path)
    return guessed if guessed and not encoding else _DEFAULT


def inert_type(path: str) -> str:
    """That of a stranger's file: nothing in it acts at the gateway's address, whatever its name."""
    return _INERT.get(path.rpartition(".")[2].lower(), _DEFAULT)
