"""What was ever rejected, as far as the published site and this machine know.

The site remembers it for every machine, but only once a run has published; until then, and where
the site is lost, a file beside the state does.
"""

from __future__ import annotations

import contextlib
import hashlib
from collections.abc import Iterable, Iterator

from indexer.config import Config
from indexer.errors import ContentError, GuardError
from indexer.files import replace_file
from indexer.published import Folder
from indexer.published.history import read_rejections, rejections_as_they_are
from indexer.rebuild.previous import Previous
from indexer.trust.judging import Held
from indexer.trust.rejections import decode_rejections, encode_rejections, remember


@contextlib.contextmanager
def _allowed(config: Config, notes: list[str]) -> Iterator[None]:
    """What can't be known any more is a note where ``--allow-drop`` was said."""
    try:
        yield
    except GuardError as error:
        if not config.allow_drop:
            raise
        notes.append(str(error))


class Rejections:
    """``known`` is all that was ever seen, ``published`` what the previous site remembers.

    The latter is None where the site's own has to be written anew.
    """

    def __init__(self, config: Config, previous: Previous, notes: list[str]) -> None:
        """Raises GuardError where either can't be read, unless that was allowed; then a note."""
        channel = hashlib.sha256(repr((str(config.registry), config.channel)).encode()).hexdigest()
        self._path = config.state / f"rejections-{channel[:12]}.json"
        self._writes = not config.dry_run
        site = Folder(previous.folder) if previous.folder is not None else None
        self.published: list[Held] | None = None
        # What the file says; None where it has to be written anew.
        self._seen: list[Held] | None = None
        with _allowed(config, notes):
            self.published = read_rejections(site) if site is not None else []
        with _allowed(config, notes):
            self._seen = self._read()
        remembered = self.published
        if remembered is None:
            remembered = rejections_as_they_are(site) if site is not None else []
        self.known = remember(remembered, self._seen or [])

    def add(self, rejections: Iterable[Held]) -> None:
        """These were seen; they are remembered whatever becomes of this run."""
        if new := list(rejections):
            self.known = remember(self.known, new)
        if self.known != self._seen and self._writes:
            # A join has no state in this folder.
            self._path.parent.mkdir(parents=True, exist_ok=True)
            replace_file(self._path, encode_rejections(self.known))
            self._seen = self.known

    def encoded(self) -> bytes:
        """What the site is to remember; empty where there is nothing."""
        return encode_rejections(self.known) if self.known else b""

    def _read(self) -> list[Held]:
        try:
            return decode_rejections(self._path.read_bytes())
        except FileNotFoundError:
            return []
        except (OSError, ContentError) as error:
            raise GuardError(
                f"{self._path}: {error}. What was rejected might be let in again. Put a sound copy "
                "there, or say --allow-drop: then what the site remembers has to do."
            ) from error
