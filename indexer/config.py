"""Every setting as one frozen value: flags over environment over ``cf-index.toml``."""

from __future__ import annotations

import difflib
import tomllib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, fields
from fractions import Fraction
from pathlib import Path
from typing import Any

from indexer.channel.policy import DEFAULT_POLICY, Policy
from indexer.errors import ConfigError
from indexer.registry.address import RegistryAddress
from indexer.settings import READERS, shown
from indexer.trust.keys import KeyFile

CONFIG_FILE = Path("cf-index.toml")
PREFIX = "CF_INDEX_"


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
    """What a rebuild is to do.

    ``recheck`` is the share of validated artifacts to look at again; ``max_site_size`` is in bytes.
    ``first`` are packages to be looked at again before all others. ``run`` is what the scheduler
    calls this run; ``part`` the folder for a share of the index, instead of a whole site.
    """

    output: Path
    names: str | None = None
    state: Path = Path(".cf-index")
    base_url: str = "auto"
    site_url: str = ""
    gateway_url: str = ""
    pages: bool = True
    max_site_size: int = 1_000_000_000
    allow_changed: tuple[str, ...] = ()
    recheck: Fraction = Fraction(0)
    list_all: bool = False
    full: bool = False
    strict: bool = False
    report: Path | None = None
    log_format: str = "text"
    summary: Path | None = None
    first: tuple[str, ...] = ()
    part: Path | None = None
    run: str = ""


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
    _check_part(config)
    return config


def load_channel_config(
    flags: Mapping[str, Any], environ: Mapping[str, str], file: Path | None = None
) -> ChannelConfig:
    """The same for commands that need to know the channel alone; other settings are let be."""
    values = _values(flags, environ, file, ("registry", "channel"))
    return ChannelConfig(**_chosen(values, ChannelConfig), policy=_policy_of(values))


def _check_part(config: Config) -> None:
    """Raise ConfigError for a part that couldn't be joined."""
    if config.part is not None and not config.run:
        raise ConfigError(
            "--part needs --run ID, the same for all parts of one run, such as the number that the "
            "CI system gives it: parts of different runs are not joined."
        )
    if config.part is not None and config.packages:
        raise ConfigError(
            "--part and --package don't go together: a part is all of its subdirs. --first NAME "
            "looks at a package again before all others."
        )


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


def load_output(environ: Mapping[str, str]) -> Path | None:
    """The site's folder, where the environment or cf-index.toml names one. Raises ConfigError."""
    output: Path | None = _values({}, environ, None, ()).get("output")
    return output


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
        if value is not None and value != () and (value is not False or name in _SWITCHES):
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
        if name not in READERS or name in _FLAGS_ONLY:
            raise ConfigError(
                f"{path}: {key!r} is not a setting. Known are: {', '.join(sorted(_file_keys()))}."
            )
        settings[name] = (value, f"{key} in {path}")
    return settings


def _variable_name(variable: str) -> str:
    """The setting that an environment variable stands for: CF_INDEX_SUBDIR or CF_INDEX_SUBDIRS."""
    text = variable.removeprefix(PREFIX).lower()
    for name in READERS:
        if text in {name, _FLAGS.get(name)}:
            return name
    close = difflib.get_close_matches(text, READERS, n=1)
    hint = f" Is {PREFIX}{close[0].upper()} meant?" if close else ""
    raise ConfigError(f"{variable} is not a setting.{hint}")


def _file_keys() -> list[str]:
    return [name.replace("_", "-") for name in READERS if name not in _FLAGS_ONLY]


def _read(name: str, value: Any, source: str) -> Any:
    try:
        return READERS[name](value)
    except ConfigError as error:
        raise ConfigError(f"{source}: {error}") from error
    except (ValueError, TypeError, ZeroDivisionError) as error:
        raise ConfigError(f"{source} is {shown(value)}: {error}.") from error


# Said for one run; standing in a file they would disarm the guard or the cache for good.
_FLAGS_ONLY = frozenset({"allow_drop", "full", "dry_run", "packages", "first", "part", "run"})
# Of these, False is said; of all other flags it means that they aren't.
_SWITCHES = frozenset({"pages"})
# A secret is no setting: it never gets into a Config.
_READ_ELSEWHERE = frozenset({"CF_INDEX_GITHUB_TOKEN"})
_FLAGS = {"subdirs": "subdir", "packages": "package"}
