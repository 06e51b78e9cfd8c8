"""Reads the value of one setting, as a flag, the environment or the file spells it.

A reader raises ValueError, TypeError or ConfigError for what its setting can't be.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from datetime import UTC, date, datetime, time, timedelta
from fractions import Fraction
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from indexer.channel.index_json import SUBDIR
from indexer.channel.policy import POLICIES, REJECTED
from indexer.errors import ConfigError
from indexer.registry.address import RegistryAddress, is_repository
from indexer.trust.keys import KeyFile

_FRACTION = re.compile(r"[0-9]{1,9}(?:\.[0-9]{1,9}|/[0-9]{1,9})?")
_SIZE = re.compile(r"([0-9]{1,9}(?:\.[0-9]{1,6})?)\s*(B|kB|MB|GB|TB)")
_UNITS = {"B": 1, "kB": 10**3, "MB": 10**6, "GB": 10**9, "TB": 10**12}
_RUN = re.compile(r"[A-Za-z0-9._:/+-]{1,100}")
_DURATION = re.compile(r"([0-9]{1,6})(s|m|h|d)")
_SECONDS = {"s": 1, "m": 60, "h": 3600, "d": 86_400}
_MAX_SHOWN = 500
_PERCENT = re.compile(r"(\d{1,3}(?:\.\d{1,4})?)\s*%")


def shown(value: Any) -> str:
    """A value for a message, which must not be buried in it."""
    text = repr(value)
    return text if len(text) <= _MAX_SHOWN else f"{text[:_MAX_SHOWN]}... ({len(text):,} characters)"


def _text(value: Any) -> str:
    if not isinstance(value, str):
        raise TypeError("it must be a string")
    if not value.strip():
        raise ValueError("it must not be empty")
    return value


def _texts(value: Any) -> tuple[str, ...]:
    items = value.split(",") if isinstance(value, str) else value
    if not isinstance(items, list | tuple) or not all(isinstance(item, str) for item in items):
        raise TypeError("it must be a list of strings")
    return tuple(dict.fromkeys(item.strip() for item in items if item.strip()))


def _subdirs(value: Any) -> tuple[str, ...]:
    subdirs = _texts(value)
    for subdir in subdirs:
        if not SUBDIR.fullmatch(subdir):
            raise ValueError(f"{shown(subdir)} is not a subdir, such as linux-64 or noarch")
    return subdirs


def _path(value: Any) -> Path:
    return Path(_text(value)) if isinstance(value, str) else Path(value)


def _flag(value: Any) -> bool:
    if isinstance(value, bool):
        return value
    if isinstance(value, str) and value.lower() in {"1", "true", "yes", "on"}:
        return True
    if isinstance(value, str) and value.lower() in {"0", "false", "no", "off"}:
        return False
    raise ValueError("it must be true or false")


def _count(value: Any) -> int:
    count = int(value)
    if isinstance(value, bool | float) or not 1 <= count <= 1024:
        raise ValueError("it must be a whole number from 1 to 1024")
    return count


def read_seconds(value: Any) -> float:
    """Seconds from 0 to 3600. Raises ValueError."""
    seconds = float(value)
    if isinstance(value, bool) or not 0 <= seconds <= 3600:
        raise ValueError("it must be seconds, from 0 to 3600")
    return seconds


def read_duration(text: str) -> timedelta:
    """A duration such as 45s, 90m, 2h or 1d. Raises ValueError."""
    match = _DURATION.fullmatch(text.strip())
    if match is None:
        raise ValueError("it must be a duration, such as 45s, 90m, 2h or 1d")
    return timedelta(seconds=int(match.group(1)) * _SECONDS[match.group(2)])


def read_share(value: Any) -> float:
    """A share of one, written as a percentage. Raises ValueError."""
    match = _PERCENT.fullmatch(value.strip()) if isinstance(value, str) else None
    if match is None or float(match.group(1)) > 100:
        raise ValueError('it must be a percentage from 0 to 100, such as "10%"')
    return float(match.group(1)) / 100


def _size(value: Any) -> int:
    """Bytes, of a size such as 1 GB; kB, MB and GB are of 1,000, as hosts count."""
    match = _SIZE.fullmatch(value.strip()) if isinstance(value, str) else None
    if match is None:
        raise ValueError('it must be a size, such as "1 GB" or "800 MB"')
    size = int(Fraction(match.group(1)) * _UNITS[match.group(2)])
    if size < 1:
        raise ValueError("it must be more than nothing")
    return size


def _fraction(value: Any) -> Fraction:
    text = _text(value).strip()
    share = Fraction(text) if _FRACTION.fullmatch(text) else None
    if share is None or share > 1:
        raise ValueError('it must be a share from 0 to 1, such as "1/96"')
    return share


def _base_url(value: Any) -> str:
    text = _text(value)
    if text not in {"auto", "oci", "none"} and not _is_web(text):
        raise ValueError("it must be auto, oci, none or an https:// address")
    return text


def read_base_url(text: str) -> str:
    """A gateway's own address. Raises ConfigError."""
    if not _is_web(text):
        raise ConfigError(f"--base-url {shown(text)}: it must be an http(s) address")
    return text


def _web_address(value: Any) -> str:
    text = _text(value)
    if not _is_web(text):
        raise ValueError("it must be an https:// address")
    return text


def _is_web(text: str) -> bool:
    try:
        host, _ = urlsplit(text).hostname, urlsplit(text).port
    except ValueError:
        return False
    return bool(host) and bool(
        re.fullmatch(r"https?://[A-Za-z0-9.:\[\]-]+(?:/[A-Za-z0-9._~%!$&'()*+,;=:@-]*)*", text)
    )


def _channel(value: Any) -> str:
    if not is_repository(_text(value)):
        raise ValueError("a channel's name is of lower-case letters and digits, with . _ - between")
    return str(value)


def read_channel(name: str) -> str:
    """A channel's name. Raises ConfigError where it can't be one."""
    try:
        return _channel(name)
    except (ValueError, TypeError) as error:
        raise ConfigError(f"the channel {name!r}: {error}") from error


def _policy(value: Any) -> str:
    if value not in POLICIES:
        raise ValueError(f"it must be {', '.join(POLICIES[:-1])} or {POLICIES[-1]}")
    return str(value)


def _status_value(value: Any) -> str:
    if _text(value) == REJECTED:
        raise ValueError("that is the mark of what is not let in")
    return str(value)


def _trust(value: Any) -> tuple[KeyFile, ...]:
    items = value.split(",") if isinstance(value, str) else value
    if not isinstance(items, list | tuple):
        raise TypeError("it must be a list of files")
    return tuple(_key_file(item) for item in items)


def _key_file(item: Any) -> KeyFile:
    """A file's name, or a table of it and what limits its key."""
    if isinstance(item, str | Path):
        return KeyFile(path=_path(str(item).strip()))
    if not isinstance(item, dict):
        raise TypeError("it must be a list of files, or of tables with a key")
    known = {"key", "not-before", "not-after", "verifier"}
    if "key" not in item or item.keys() - known:
        raise ValueError(f"a table of trusted keys has {', '.join(sorted(known))}, of these key")
    verifier = item.get("verifier")
    found = KeyFile(
        path=_path(item["key"]),
        not_before=_moment(item.get("not-before"), time.min),
        not_after=_moment(item.get("not-after"), time.max),
        verifier=None if verifier is None else _text(verifier),
    )
    if found.not_before and found.not_after and found.not_after < found.not_before:
        raise ValueError(f"{found.path} is trusted until a time before it is")
    return found


def _moment(value: Any, within: time) -> datetime | None:
    """A time with its offset; of a date (in UTC), the moment ``within`` it."""
    if isinstance(value, str):
        value = datetime.fromisoformat(value) if len(value) > 10 else date.fromisoformat(value)
    if isinstance(value, date) and not isinstance(value, datetime):
        return datetime.combine(value, within, UTC)
    if value is not None and (not isinstance(value, datetime) or value.tzinfo is None):
        raise ValueError("a key's time must be a date, or a time with its offset")
    return value


def _log_format(value: Any) -> str:
    if value not in {"text", "json", "github"}:
        raise ValueError("it must be text, json or github")
    return str(value)


def read_run(value: Any) -> str:
    """The id of a run, as a CI system numbers them. Raises ValueError."""
    text = _text(value).strip()
    if not _RUN.fullmatch(text):
        raise ValueError("it must be of letters, digits and . _ : / + -, at most 100 of them")
    return text


READERS: Mapping[str, Callable[[Any], Any]] = {
    "registry": lambda value: RegistryAddress.parse(_text(value)),
    "channel": _channel,
    "output": _path,
    "subdirs": _subdirs,
    "packages": _texts,
    "names": _text,
    "state": _path,
    "previous": _text,
    "base_url": _base_url,
    "site_url": _web_address,
    "gateway_url": _web_address,
    "pages": _flag,
    "max_site_size": _size,
    "policy": _policy,
    "all": _flag,
    "status_key": _text,
    "status_value": _status_value,
    "trust": _trust,
    "audit": _path,
    "max_drop": read_share,
    "allow_drop": _flag,
    "allow_changed": _texts,
    "recheck": _fraction,
    "list_all": _flag,
    "full": _flag,
    "dry_run": _flag,
    "strict": _flag,
    "jobs": _count,
    "retry_for": read_seconds,
    "report": _path,
    "log_format": _log_format,
    "summary": _path,
    "part": _path,
    "run": read_run,
    "first": _texts,
}
