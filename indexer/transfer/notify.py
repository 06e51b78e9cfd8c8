"""Telling a validation service what was pushed."""

from __future__ import annotations

import threading
from collections.abc import Iterable
from urllib.parse import urlsplit

import orjson

from indexer.errors import CfIndexError, ConfigError, RegistryError
from indexer.published import check_address
from indexer.registry import Transport
from indexer.registry.content import Content
from indexer.transfer.outcome import Failure, Item, Outcome

_BATCH = 500
_MAX_ANSWER = 1024 * 1024


class Notifier:
    """Posts references and digests, some hundred at a time, as JSON.

    The body is ``{"version": 1, "channel": …, "pushed": [{"subdir", "file_name", "sha256",
    "size", "reference", "digest"}]}``; ``digest`` is the manifest's. What couldn't be told is a
    failure in the outcome, since nobody will tell it later.
    """

    def __init__(self, transport: Transport, url: str, channel: str, outcome: Outcome) -> None:
        self._transport = transport
        self._url = url
        self._channel = channel
        self._outcome = outcome
        self._waiting: list[Item] = []
        self._lock = threading.Lock()

    def add(self, items: Iterable[Item]) -> None:
        """These were pushed; from any thread."""
        with self._lock:
            self._waiting += items

    def tell(self) -> None:
        """Tell what makes a whole message."""
        while len(self._waiting) >= _BATCH:
            self._tell()

    def close(self) -> None:
        """Tell what hasn't been told yet."""
        while self._waiting:
            self._tell()

    def _tell(self) -> None:
        with self._lock:
            items, self._waiting = self._waiting[:_BATCH], self._waiting[_BATCH:]
        body = orjson.dumps(
            {
                "version": 1,
                "channel": self._channel,
                "pushed": [
                    {
                        "subdir": item.subdir,
                        "file_name": item.file_name,
                        "sha256": item.sha256,
                        "size": item.size,
                        "reference": item.reference,
                        "digest": item.digest,
                    }
                    for item in items
                ],
            }
        )
        try:
            self._post(body)
        except BaseException as error:
            for item in items:
                self._outcome.fail(
                    Failure(str(item), f"pushed, but the service wasn't told: {error!s:.300}")
                )
            if not isinstance(error, CfIndexError):
                # Interrupted, say.
                raise

    def _post(self, body: bytes) -> None:
        headers = {"Content-Type": "application/json"}
        answer = self._transport.request(
            "POST", self._url, headers=headers, limit=_MAX_ANSWER, body=Content.of_bytes(body)
        )
        if not 200 <= answer.status < 300:
            raise RegistryError(f"it answered {answer.status}")


def check_notify(url: str) -> str:
    """The address of a service. Raises ConfigError where it can't be one."""
    check_address(url)
    if urlsplit(url).scheme not in {"http", "https"}:
        raise ConfigError(f"--notify {url!r} is no http(s) address.")
    return url
