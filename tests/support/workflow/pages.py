"""A stand-in for GitHub Pages: it serves the tree that was deployed last."""

from __future__ import annotations

import mimetypes
import shutil
from dataclasses import dataclass, field, replace
from enum import Enum, auto
from pathlib import Path

from tests.support.faults import READS, Answer, Fault, Request, befall
from tests.support.loopback import Loopback
from tests.support.ranges import ranged


class Serving(Enum):
    """What becomes of a deployment that is reported as a success."""

    ALL = auto()
    NEW_COMMITS = auto()
    """One of a commit that was deployed before is reported, and not served."""
    NONE = auto()


@dataclass(frozen=True)
class Deployment:
    """What somebody asked for, and what came of it."""

    number: int
    build_version: str
    artifact: int
    served: bool


@dataclass
class _Copies:
    """What caches between Pages and its readers hold, by path and query."""

    on: bool = False
    held: dict[tuple[str, str], Answer] = field(default_factory=dict)


class Pages(Loopback):
    """The server. `prefix` is the path below which the repository's site lies."""

    def __init__(self, root: Path, prefix: str = "/channel") -> None:
        super().__init__()
        self.root = root
        self.prefix = prefix
        self.serving = Serving.ALL
        self.fails = False
        self.deployments: list[Deployment] = []
        self.faults: list[Fault] = []
        self.copies = _Copies()

    @property
    def base_url(self) -> str:
        """The site's address, without a slash at the end, as configure-pages gives it."""
        return self.http + self.prefix

    @property
    def site(self) -> Path | None:
        """The folder that is served now; nothing before the first deployment."""
        served = [one for one in self.deployments if one.served]
        return self.root / str(served[-1].number) if served else None

    def unpublish(self) -> None:
        """Serve nothing any more."""
        self.deployments[:] = [replace(one, served=False) for one in self.deployments]

    def deploy(self, tree: Path, artifact: int, build_version: str) -> Deployment:
        """Take a deployment. It is served at once, or never."""
        with self.lock:
            known = {one.build_version for one in self.deployments}
            served = self.serving is Serving.ALL or (
                self.serving is Serving.NEW_COMMITS and build_version not in known
            )
            number = len(self.deployments) + 1
            shutil.copytree(tree, self.root / str(number))
            deployment = Deployment(number, build_version, artifact, served and not self.fails)
            self.deployments.append(deployment)
        return deployment

    def answer(self, request: Request) -> Answer:
        key = (request.path, repr(sorted(request.query.items())))
        answer = self.copies.held.get(key) if self.copies.on else None
        if answer is None:
            answer = self._fresh(request)
        if self.copies.on and request.method == "GET" and answer.status == 200:
            self.copies.held[key] = answer
        return befall(self.faults, request, ranged(request, answer))

    def _fresh(self, request: Request) -> Answer:
        if request.method not in READS:
            return Answer(405)
        data = self._find(request.path)
        if data is None:
            return Answer(404, {"Content-Type": "text/html"}, b"<h1>404</h1>")
        kind = mimetypes.guess_type(request.path)[0] or "application/octet-stream"
        return Answer(200, {"Content-Type": kind, "Cache-Control": "max-age=600"}, data)

    def _find(self, path: str) -> bytes | None:
        if self.site is None or not path.startswith(f"{self.prefix}/") or "\0" in path:
            return None
        root = self.site.resolve()
        file = (root / path.removeprefix(f"{self.prefix}/")).resolve()
        if file.is_dir():
            file = file / "index.html"
        return file.read_bytes() if file.is_relative_to(root) and file.is_file() else None
