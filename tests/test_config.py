"""Where settings come from, which of them win, and what a bad one is told."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from fractions import Fraction
from pathlib import Path
from typing import Any

import pytest

from indexer.channel.policy import DEFAULT_POLICY, Policy
from indexer.config import Config, load_config
from indexer.errors import ConfigError
from indexer.registry.address import RegistryAddress
from indexer.trust.keys import KeyFile

NEEDED = {"registry": "ocidir://registry", "channel": "forge", "output": "site"}
# Each setting as the file and the environment spell it, and what comes of both.
SETTINGS: dict[str, tuple[Any, str, str, Any]] = {
    "registry": ("oci://ghcr.io/acme", "oci://ghcr.io/acme", "registry", None),
    "channel": ("other", "other", "channel", "other"),
    "output": ("elsewhere", "elsewhere", "output", Path("elsewhere")),
    "subdirs": (["linux-64", "noarch"], "linux-64, noarch", "subdirs", ("linux-64", "noarch")),
    "names": ("names.txt", "names.txt", "names", "names.txt"),
    "state": ("cache", "cache", "state", Path("cache")),
    "previous": ("https://x.invalid", "https://x.invalid", "previous", "https://x.invalid"),
    "base-url": ("https://x.invalid/c", "https://x.invalid/c", "base_url", "https://x.invalid/c"),
    "site-url": ("https://x.invalid/c", "https://x.invalid/c", "site_url", "https://x.invalid/c"),
    "gateway-url": (
        "https://x.invalid/g",
        "https://x.invalid/g",
        "gateway_url",
        "https://x.invalid/g",
    ),
    "policy": ("none", "none", "policy", Policy("none")),
    "all": (True, "true", "policy", Policy("none")),
    "status-key": ("org.acme", "org.acme", "policy", Policy(key="org.acme")),
    "status-value": ("green", "green", "policy", Policy(value="green")),
    "audit": ("log.jsonl", "log.jsonl", "audit", Path("log.jsonl")),
    "max-drop": ("2.5%", "2.5 %", "max_drop", 0.025),
    "allow-changed": (["a-*"], "a-*", "allow_changed", ("a-*",)),
    "recheck": ("1/96", "1/96", "recheck", Fraction(1, 96)),
    "strict": (True, "yes", "strict", True),
    "list-all": (True, "true", "list_all", True),
    "jobs": (3, "3", "jobs", 3),
    "retry-for": (1.5, "1.5", "retry_for", 1.5),
    "report": ("report.json", "report.json", "report", Path("report.json")),
    "log-format": ("json", "json", "log_format", "json"),
}
FLAGS_ONLY: dict[str, tuple[Any, str]] = {
    "allow-drop": (True, "allow_drop"),
    "full": (True, "full"),
    "dry-run": (True, "dry_run"),
    "packages": (["a"], "packages"),
}


def variable(setting: str) -> str:
    return "CF_INDEX_" + setting.replace("-", "_").upper()


def toml(value: Any) -> str:
    return str(value).lower() if isinstance(value, bool) else repr(value)


def write(folder: Path, **settings: Any) -> Path:
    path = folder / "cf-index.toml"
    lines = [f"{key.replace('_', '-')} = {toml(value)}\n" for key, value in settings.items()]
    path.write_text("".join(lines))
    return path


def load(
    flags: dict[str, Any] | None = None,
    environ: dict[str, str] | None = None,
    file: Path | None = None,
) -> Config:
    """Load with what every run needs, said where it loses against anything else."""
    missing = {key: value for key, value in NEEDED.items() if variable(key) not in (environ or {})}
    if file is not None:
        said = file.read_text()
        missing = {key: value for key, value in missing.items() if f"{key} =" not in said}
    return load_config(missing | (flags or {}), environ or {}, file)


@pytest.fixture(autouse=True)
def _elsewhere(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """No cf-index.toml of whoever runs the tests reaches them."""
    (tmp_path / "here").mkdir()
    monkeypatch.chdir(tmp_path / "here")


def expected(setting: str) -> Any:
    value = SETTINGS[setting][3]
    return RegistryAddress.parse("oci://ghcr.io/acme") if setting == "registry" else value


@pytest.mark.parametrize("setting", SETTINGS)
def test_every_setting_may_stand_in_the_file(setting: str, tmp_path: Path) -> None:
    value, _, field, _ = SETTINGS[setting]
    config = load(file=write(tmp_path, **{setting: value}))
    assert getattr(config, field) == expected(setting)


@pytest.mark.parametrize("setting", SETTINGS)
def test_every_setting_may_stand_in_the_environment(setting: str) -> None:
    _, text, field, _ = SETTINGS[setting]
    assert getattr(load(environ={variable(setting): text}), field) == expected(setting)


@pytest.mark.parametrize("setting", SETTINGS)
def test_every_setting_may_be_a_flag(setting: str) -> None:
    value, _, field, _ = SETTINGS[setting]
    given = tuple(value) if isinstance(value, list) else value
    config = load({setting.replace("-", "_"): given})
    assert getattr(config, field) == expected(setting)


DAY = datetime(2026, 12, 31, tzinfo=UTC)
TRUSTED: list[tuple[str, tuple[KeyFile, ...]]] = [
    ('["a.pub", "b.pub"]', (KeyFile(path=Path("a.pub")), KeyFile(path=Path("b.pub")))),
    ('"a.pub"', (KeyFile(path=Path("a.pub")),)),
    (
        '[{key = "a.pub", not-before = 2026-12-31, not-after = 2026-12-31, verifier = "urn:x"}]',
        (
            KeyFile(
                path=Path("a.pub"),
                not_before=DAY,
                not_after=DAY + timedelta(days=1) - timedelta(microseconds=1),
                verifier="urn:x",
            ),
        ),
    ),
    (
        '[{key = "a.pub", not-before = 2026-12-31T01:00:00+01:00}]',
        (KeyFile(path=Path("a.pub"), not_before=DAY),),
    ),
    (
        '[{key = "a.pub", not-before = "2026-12-31"}]',
        (KeyFile(path=Path("a.pub"), not_before=DAY),),
    ),
]


@pytest.mark.parametrize(("text", "expected"), TRUSTED)
def test_trusted_keys_may_have_times_in_the_file(
    text: str, expected: tuple[KeyFile, ...], tmp_path: Path
) -> None:
    file = tmp_path / "cf-index.toml"
    file.write_text(f'policy = "attestation"\ntrust = {text}\n')
    assert load(file=file).trust == expected


@pytest.mark.parametrize(
    "text",
    [
        "7",
        '[["a.pub"]]',
        "[{not-before = 2026-12-31}]",
        '[{key = "a.pub", until = 2026-12-31}]',
        '[{key = "a.pub", not-before = 2026-12-31T01:00:00}]',
        '[{key = "a.pub", not-before = "soon"}]',
        '[{key = "a.pub", not-before = 2027-01-01, not-after = 2026-12-31}]',
    ],
)
def test_keys_that_cant_be_trusted_so_are_refused(text: str, tmp_path: Path) -> None:
    file = tmp_path / "cf-index.toml"
    file.write_text(f'policy = "attestation"\ntrust = {text}\n')
    with pytest.raises(ConfigError, match="trust in"):
        load(file=file)


def test_trusted_keys_may_be_flags_and_stand_in_the_environment() -> None:
    files = (KeyFile(path=Path("a.pub")), KeyFile(path=Path("b.pub")))
    assert load({"trust": (Path("a.pub"), Path("b.pub")), "policy": "both"}).trust == files
    environ = {"CF_INDEX_TRUST": "a.pub, b.pub", "CF_INDEX_POLICY": "both"}
    assert load(environ=environ).trust == files


@pytest.mark.parametrize("policy", ["attestation", "both"])
def test_a_policy_that_asks_for_verdicts_needs_a_key(policy: str) -> None:
    with pytest.raises(ConfigError, match="no key is trusted: say --trust"):
        load({"policy": policy})


def test_keys_that_nobody_would_ask_are_refused() -> None:
    # Whoever configures one believes that it protects the channel.
    with pytest.raises(ConfigError, match="the policy is annotation, which asks no key"):
        load({"trust": ("a.pub",)})
    assert load({"trust": ("a.pub",), "all": True}).policy.name == "none"


def test_the_mark_of_what_is_rejected_cant_be_that_of_what_is_validated() -> None:
    with pytest.raises(ConfigError, match="the mark of what is not let in"):
        load({"status_value": "rejected"})


@pytest.mark.parametrize(("flag", "name", "value"), [
    ("--subdir", "CF_INDEX_SUBDIR", "linux-64"),
    ("--package", "CF_INDEX_PACKAGE", "alpha"),
])  # fmt: skip
def test_a_flag_is_found_in_the_environment_under_its_own_name(
    flag: str, name: str, value: str
) -> None:
    config = load(environ={name: value})
    assert {"--subdir": config.subdirs, "--package": config.packages}[flag] == (value,)


@pytest.mark.parametrize("setting", FLAGS_ONLY)
def test_what_is_meant_for_one_run_may_not_stand_in_the_file(setting: str, tmp_path: Path) -> None:
    value, field = FLAGS_ONLY[setting]
    with pytest.raises(ConfigError, match=f"{setting}.* is not a setting"):
        load(file=write(tmp_path, **{setting: value}))
    given = tuple(value) if isinstance(value, list) else value
    assert getattr(load({field: given}), field) == given


def test_flags_win_over_the_environment_and_that_over_the_file(tmp_path: Path) -> None:
    file = write(tmp_path, channel="file", jobs=1, retry_for=1)
    environ = {"CF_INDEX_CHANNEL": "environment", "CF_INDEX_JOBS": "2"}
    config = load({"channel": "flag"}, environ, file)
    assert (config.channel, config.jobs, config.retry_for) == ("flag", 2, 1)


@pytest.mark.parametrize("nothing", [None, (), False])
def test_a_flag_that_was_not_given_wins_over_nothing(nothing: object, tmp_path: Path) -> None:
    file = write(tmp_path, subdirs=["noarch"], strict=True, names="n")
    config = load({"subdirs": nothing, "strict": nothing, "names": nothing}, file=file)
    assert (config.subdirs, config.strict, config.names) == (("noarch",), True, "n")


def test_an_empty_variable_says_nothing(tmp_path: Path) -> None:
    assert load({}, {"CF_INDEX_JOBS": ""}, write(tmp_path, jobs=5)).jobs == 5


@pytest.mark.parametrize(
    ("flags", "environ"),
    [({"policy": "annotation"}, {}), ({}, {"CF_INDEX_POLICY": "annotation"})],
)
def test_who_asks_for_validation_is_not_overruled_by_the_file(
    flags: dict[str, str], environ: dict[str, str], tmp_path: Path
) -> None:
    assert load(flags, environ, write(tmp_path, all=True)).policy == DEFAULT_POLICY


def test_everything_can_be_asked_for_against_the_file(tmp_path: Path) -> None:
    file = write(tmp_path, policy="annotation")
    assert load({"all": True}, {}, file).policy.name == "none"
    assert load({}, {"CF_INDEX_ALL": "0"}, write(tmp_path, all=True)).policy == DEFAULT_POLICY


def test_the_file_in_the_current_folder_is_read_and_needs_not_be_there() -> None:
    assert load().jobs == 32
    write(Path(), jobs=7)
    assert load().jobs == 7


@pytest.mark.parametrize("content", [None, b"jobs =", b"\xff", b"jobs = 1\njobs = 2\n"])
def test_a_file_that_was_named_must_be_there_and_be_toml(
    content: bytes | None, tmp_path: Path
) -> None:
    path = tmp_path / "named.toml"
    if content is not None:
        path.write_bytes(content)
    with pytest.raises(ConfigError, match=r"named\.toml"):
        load_config(NEEDED, {}, path)
    with pytest.raises(ConfigError, match=str(tmp_path)):
        load_config(NEEDED, {}, tmp_path)


@pytest.mark.parametrize("key", ["job", "Jobs", "jobs2", "tool", "max_dropp"])
def test_a_misspelt_key_in_the_file_is_not_passed_over(key: str, tmp_path: Path) -> None:
    path = tmp_path / "x.toml"
    path.write_text(f"{key} = 1\n")
    with pytest.raises(ConfigError, match=f"'{key}'.*jobs, list-all, log-format, max-drop"):
        load_config(NEEDED, {}, path)


def test_dashes_and_underscores_in_the_file_are_the_same(tmp_path: Path) -> None:
    path = tmp_path / "x.toml"
    path.write_text('max_drop = "3%"\nbase-url = "none"\n')
    config = load_config(NEEDED, {}, path)
    assert (config.max_drop, config.base_url) == (0.03, "none")


@pytest.mark.parametrize("setting", ["registry", "channel", "output"])
def test_what_every_run_needs_is_asked_for_by_all_its_names(setting: str) -> None:
    given = {key: value for key, value in NEEDED.items() if key != setting}
    with pytest.raises(ConfigError, match=f"--{setting} .*{variable(setting)}.*cf-index.toml"):
        load_config(given, {})


BAD: list[tuple[str, Any]] = [
    *(("registry", value) for value in ("ghcr.io/acme", "https://x", "oci://u:p@x", "ocidir://")),
    *(("channel", value) for value in ("A", "a b", "../x", "-a", "a" * 300)),
    *(("subdirs", value) for value in ("linux", "../noarch", "linux-64,x/y")),
    *(("max_drop", value) for value in ("10", "101%", "-1%", "0.1", "ten%")),
    *(("recheck", value) for value in ("2", "-1/2", "1/0", "x", "nan")),
    *(("jobs", value) for value in ("0", "-1", "1025", "1.5", "x")),
    *(("retry_for", value) for value in ("-1", "nan", "inf", "3601", "x")),
    *(("base_url", value) for value in ("x", "ftp://x", "javascript:x", 'https://x/"')),
    *(("site_url", value) for value in ("auto", "x", "javascript:x", "https://x/<b>")),
    *(("gateway_url", value) for value in ("auto", "x", "javascript:x", "https://x/ -c y")),
    *(("policy", value) for value in ("all", "attested", "None")),
    *(("all", value) for value in ("2", "maybe")),
]


@pytest.mark.parametrize(("name", "text"), BAD)
def test_a_bad_value_is_told_with_where_it_came_from(name: str, text: str, tmp_path: Path) -> None:
    key = name.replace("_", "-")
    file = write(tmp_path, **{key: text})
    with pytest.raises(ConfigError, match=variable(key)):
        load(environ={variable(key): text})
    with pytest.raises(ConfigError, match=f"{key} in {file}"):
        load(file=file)
    with pytest.raises(ConfigError, match=f"--{key.removesuffix('s')}"):
        load({name: text})


@pytest.mark.parametrize(
    ("key", "value"),
    [
        *(("jobs", value) for value in (True, 1.5, [1])),
        *(("retry-for", value) for value in (True, [1])),
        *(("max-drop", value) for value in (10, 0.1)),
        *(("channel", value) for value in (1, ["forge"])),
        *(("subdirs", value) for value in (1, [1], True)),
        *(("all", value) for value in (1, ["yes"])),
        *(("output", value) for value in (1, ["site"])),
        *((key, " ") for key in ("registry", "channel", "output", "names", "status-key")),
        ("recheck", 0.5),
        ("strict", 1),
    ],
)
def test_a_value_of_another_type_in_the_file_is_told(key: str, value: Any, tmp_path: Path) -> None:
    file = write(tmp_path, **{key: value})
    with pytest.raises(ConfigError, match=f"{key} in {file}"):
        load(file=file)


@pytest.mark.parametrize(("text", "share"), [("0%", 0), ("100%", 1), ("0.5%", 0.005)])
def test_every_percentage_may_be_allowed_to_go(text: str, share: float) -> None:
    assert load({"max_drop": text}).max_drop == share


def test_a_password_in_an_address_is_not_repeated() -> None:
    with pytest.raises(ConfigError) as caught:
        load(environ={"CF_INDEX_REGISTRY": "oci://user:secret@ghcr.io/acme"})
    assert "secret" not in str(caught.value)


def test_an_address_that_no_client_follows_is_never_published() -> None:
    for registry in ("ocidir://x", "oci+http://127.0.0.1:5000/x", "oci://ghcr.io:8443/x"):
        with pytest.raises(ConfigError, match="443"):
            load({"registry": registry, "base_url": "oci"})
    assert load({"registry": "oci://ghcr.io/x", "base_url": "oci"}).base_url == "oci"


def test_a_variable_that_is_no_setting_is_refused_with_the_one_that_may_be_meant() -> None:
    with pytest.raises(ConfigError, match=r"CF_INDEX_REGISTY .* Is CF_INDEX_REGISTRY meant\?"):
        load_config({}, {"CF_INDEX_REGISTY": "oci://example.org/acme"})


def test_a_secret_in_the_environment_is_no_misspelt_setting() -> None:
    assert load_config(NEEDED, {"CF_INDEX_GITHUB_TOKEN": "x"}).channel == "forge"


@pytest.mark.parametrize("share", ["1e-999999999", "nan", "-1/2", "2", "1/0", "1/96/2", " "])
def test_an_odd_share_is_refused_at_once(share: str) -> None:
    with pytest.raises(ConfigError, match="--recheck"):
        load_config({**NEEDED, "recheck": share}, {})


def test_the_log_format_may_stand_anywhere(tmp_path: Path) -> None:
    file = tmp_path / "cf-index.toml"
    file.write_text('log-format = "json"\n')
    assert load_config(NEEDED, {}, file).log_format == "json"
    assert load_config(NEEDED, {"CF_INDEX_LOG_FORMAT": "text"}, file).log_format == "text"
    with pytest.raises(ConfigError, match="it must be text, json or github"):
        load_config(NEEDED, {"CF_INDEX_LOG_FORMAT": "xml"})
