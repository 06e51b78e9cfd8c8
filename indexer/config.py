"""Every setting as one frozen value: flags over environment over ``cf-index.toml``."""

from __future__ import annotations

import difflib
import re
import tomllib
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, fields
from datetime import UTC, date, datetime, time
from fractions import Fraction
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from indexer.channel.index_json import SUBDIR
from indexer.channel.policy import DEFAULT_POLICY, POLICIES, REJECTED, Policy
from indexer.errors import ConfigError
from indexer.registry.address import RegistryAddress, is_repository
from indexer.trust.keys import KeyFile

CONFIG_FILE = Path("cf-index.toml")
PREFIX = "CF_INDEX_"
_FRACTION = re.compile(r"[0-9]{1,9}(?:\.[0-9]{1,9}|/[0-9]{1,9})?")
_PERCENT = re.compile(r"(\d{1,3}(?:\.\d{1,4})?)\s*%")


@dataclass(frozen=True, slots=True, kw_only=True)
class ChannelConfig:
    """Which channel in which registry, how much of it, and how to ask for it.

    ``trust`` are the public keys whose verdicts count. ``output`` is the site's folder,
    ``previous`` where the earlier site is; None for the output. ``max_drop`` is a share of one;
    ``retry_for`` the seconds that a failing request is tried for.
    """

    registry: RegistryAddress
    channel: str
    subdirs: tuple[str, ...] = ()
    packages: tuple[str, ...] = ()
    policy: Policy = DEFAULT_POLICY
    trust: tuple[KeyFile, ...] = ()
    output: Path | None = None
    previous: str | None = None
    audit: Path = Path(".cf-index/audit.jsonl")
    max_drop: float = 0.10
    allow_drop: bool = False
    dry_run: bool = False
    jobs: int = 32
    retry_for: float = 60.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Config(ChannelConfig):
    """What a rebuild is to do. ``recheck`` is the share of validated artifacts to look at again."""

    output: Path
    names: str | None = None
    state: Path = Path(".cf-index")
    base_url: str = "auto"
    site_url: str = ""
    allow_changed: tuple[str, ...] = ()
    recheck: Fraction = Fraction(0)
    list_all: bool = False
    full: bool = False
    strict: bool = False
    report: Path | None = None
    log_format: str = "text"


def load_config(
    flags: Mapping[str, Any], environ: Mapping[str, str], file: Path | None = None
) -> Config:
    """Put the settings together. ``flags`` are by name; None and ``()`` stand for not given.

    Raises ConfigError with where the bad value came from and what it should be.
    """
    values = _values(flags, environ, file, ("registry", "channel", "output"))
    config = Config(**_chosen(values, Config), policy=_policy_of(values))
    if config.base_url == "oci" and config.registry.client_url() is None:
        raise ConfigError(
            f"--base-url oci can't be had for {config.registry}: clients follow oci:// addresses "
            "by https on port 443 only. Use auto, none, or the https address of a gateway."
        )
    check_trust(config)
    return config


def load_channel_config(
    flags: Mapping[str, Any], environ: Mapping[str, str], file: Path | None = None
) -> ChannelConfig:
    """The same for commands that need to know the channel alone; other settings are let be."""
    values = _values(flags, environ, file, ("registry", "channel"))
    return ChannelConfig(**_chosen(values, ChannelConfig), policy=_policy_of(values))


def check_trust(config: ChannelConfig) -> None:
    """Raise ConfigError where the policy and the trusted keys don't go together."""
    policy = config.policy.name
    if config.policy.asks_verdict and not config.trust:
        raise ConfigError(
            f"The policy is {policy}, and no key is trusted: say --trust FILE, with the public key "
            "of whoever validates."
        )
    if policy == "annotation" and config.trust:
        raise ConfigError(
            "--trust is set, but the policy is annotation, which asks no key. Say --policy "
            "attestation (or both); or leave the keys out."
        )


def _values(
    flags: Mapping[str, Any],
    environ: Mapping[str, str],
    file: Path | None,
    required: Sequence[str],
) -> dict[str, Any]:
    settings = _from_file(file or CONFIG_FILE, required=file is not None)
    for variable, text in sorted(environ.items()):
        if variable.startswith(PREFIX) and text and variable not in _READ_ELSEWHERE:
            _set(settings, _variable_name(variable), text, variable)
    for name, value in flags.items():
        if value is not None and value != () and value is not False:
            _set(settings, name, value, "--" + _FLAGS.get(name, name).replace("_", "-"))
    values = {name: _read(name, *setting) for name, setting in settings.items()}
    for name in required:
        if name not in values:
            raise ConfigError(
                f"--{name} is not set. Give it as a flag, as {PREFIX}{name.upper()}, or in "
                f"{CONFIG_FILE}."
            )
    return values


def _set(settings: dict[str, tuple[Any, str]], name: str, value: Any, source: str) -> None:
    """Let a setting take the place of what a weaker source said of the same thing."""
    if name == "policy":
        settings.pop("all", None)
    settings[name] = (value, source)


def _policy_of(values: Mapping[str, Any]) -> Policy:
    return Policy(
        name="none" if values.get("all") else values.get("policy", "annotation"),
        key=values.get("status_key", DEFAULT_POLICY.key),
        value=values.get("status_value", DEFAULT_POLICY.value),
    )


def _chosen(values: Mapping[str, Any], kind: type[ChannelConfig]) -> dict[str, Any]:
    known = {item.name for item in fields(kind)} - {"policy"}
    return {name: value for name, value in values.items() if name in known}


def _from_file(path: Path, *, required: bool) -> dict[str, tuple[Any, str]]:
    try:
        with path.open("rb") as file:
            document = tomllib.load(file)
    except FileNotFoundError as error:
        if required:
            raise ConfigError(f"There is no file {path}.") from error
        return {}
    except OSError as error:
        raise ConfigError(f"{path} can't be read: {error.strerror}.") from error
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise ConfigError(f"{path} is not TOML: {error}.") from error
    settings = {}
    for key, value in document.items():
        name = key.replace("-", "_")
        if name not in _READERS or name in _FLAGS_ONLY:
            raise ConfigError(
                f"{path}: {key!r} is not a setting. Known are: {', '.join(sorted(_file_keys()))}."
            )
        settings[name] = (value, f"{key} in {path}")
    return settings


def _variable_name(variable: str) -> str:
    """The setting that an environment variable stands for: CF_INDEX_SUBDIR or CF_INDEX_SUBDIRS."""
    text = variable.removeprefix(PREFIX).lower()
    for name in _READERS:
        if text in {name, _FLAGS.get(name)}:
            return name
    close = difflib.get_close_matches(text, _READERS, n=1)
    hint = f" Is {PREFIX}{close[0].upper()} meant?" if close else ""
    raise ConfigError(f"{variable} is not a setting.{hint}")


def _file_keys() -> list[str]:
    return [name.replace("_", "-") for name in _READERS if name not in _FLAGS_ONLY]


def _read(name: str, value: Any, source: str) -> Any:
    try:
        return _READERS[name](value)
    except ConfigError as error:
        raise ConfigError(f"{source}: {error}") from error
    except (ValueError, TypeError, ZeroDivisionError) as error:
        raise ConfigError(f"{source} is {value!r}: {error}.") from error


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
            raise ValueError(f"{subdir!r} is not a subdir, such as linux-64 or noarch")
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


def read_share(value: Any) -> float:
    """A share of one, written as a percentage. Raises ValueError."""
    match = _PERCENT.fullmatch(value.strip()) if isinstance(value, str) else None
    if match is None or float(match.group(1)) > 100:
        raise ValueError('it must be a percentage from 0 to 100, such as "10%"')
    return float(match.group(1)) / 100


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


def _site_url(value: Any) -> str:
    text = _text(value)
    if not _is_web(text):
        raise ValueError("it must be an https:// address")
    return text


def _is_web(text: str) -> bool:
    try:
        host = urlsplit(text).hostname
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
    if value not in {"text", "json"}:
        raise ValueError("it must be text or json")
    return str(value)


_READERS: Mapping[str, Callable[[Any], Any]] = {
    "registry": lambda value: RegistryAddress.parse(_text(value)),
    "channel": _channel,
    "output": _path,
    "subdirs": _subdirs,
    "packages": _texts,
    "names": _text,
    "state": _path,
    "previous": _text,
    "base_url": _base_url,
    "site_url": _site_url,
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
}
# Said for one run; standing in a file they would disarm the guard or the cache for good.
_FLAGS_ONLY = frozenset({"allow_drop", "full", "dry_run", "packages"})
# A secret is no setting: it never gets into a Config.
_READ_ELSEWHERE = frozenset({"CF_INDEX_GITHUB_TOKEN"})
_FLAGS = {"subdirs": "subdir", "packages": "package"}
