"""A static web host that counts what it sends, and answers as GitHub Pages does.

Each file has an ETag and Last-Modified, and who has it already gets a 304. Pages also says
``max-age=600``: for ten minutes a client asks nothing. Here that is 0, so each of a client's turns
stands for one after that time.
"""

from __future__ import annotations

from dataclasses import dataclass
from email.utils import formatdate
from pathlib import Path

from demo.layers import digest_of
from tests.support.faults import READS, Answer, Request
from tests.support.loopback import Loopback

SHARD_INDEX, SHARDS, REPODATA, OTHER = KINDS = ("shard index", "shards", "repodata", "other")


@dataclass(frozen=True, slots=True)
class Sent:
    """One answer: how many bytes its body had, without its head."""

    path: str
    status: int
    size: int

    @property
    def kind(self) -> str:
        """What was asked for, by its name."""
        name = self.path.rpartition("/")[2]
        if name == "repodata_shards.msgpack.zst":
            return SHARD_INDEX
        if name.endswith(".msgpack.zst"):
            return SHARDS
        return REPODATA if name.startswith("repodata.json") else OTHER


class CountingHost(Loopback):
    """The files below ``root``; ``sent`` tells what was answered."""

    def __init__(self, root: Path) -> None:
        super().__init__()
        self.sent: list[Sent] = []
        self._root = root.resolve()

    def answer(self, request: Request) -> Answer:
        answer = self._answer(request)
        size = 0 if request.method == "HEAD" else len(answer.body)
        self.sent.append(Sent(request.path, answer.status, size))
        return answer

    def _answer(self, request: Request) -> Answer:
        path = (self._root / request.path.lstrip("/")).resolve()
        if request.method not in READS:
            return Answer(405)
        if not (path.is_relative_to(self._root) and path.is_file()):
            return Answer(404)
        data = path.read_bytes()
        headers = {
            "Cache-Control": "max-age=0",
            "ETag": f'"{digest_of(data)}"',
            "Last-Modified": formatdate(path.stat().st_mtime, usegmt=True),
        }
        if _is_known(request, headers):
            # Of the whole: a cache may take over the lengths that a 304 tells.
            return Answer(304, headers | {"Content-Length": str(len(data))})
        return Answer(200, headers, data)


def _is_known(request: Request, headers: dict[str, str]) -> bool:
    """Whether the client has it: the ETag decides where one came (RFC 9110, 13.2.2)."""
    known = request.headers.get("if-none-match")
    if known is not None:
        return headers["ETag"] in known
    return request.headers.get("if-modified-since") == headers["Last-Modified"]
