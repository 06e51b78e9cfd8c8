"""Who we are to a registry: ORAS_USER and ORAS_PASS, docker's config and its helpers, or nobody.

oras looks a host up in docker's config and runs the credential helpers; nothing of what it
finds is printed or logged.
"""

from __future__ import annotations

import base64
import logging
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import oras.auth
import oras.container
import orjson

from indexer.errors import ConfigError

# oras logs by handlers of its own, among other things what a failing helper printed.
logging.getLogger("oras.logger").disabled = True


def find_basic(host: str, environ: Mapping[str, str] | None = None) -> str | None:
    """The value of ``Authorization: Basic …`` for a registry host; None for an anonymous read.

    Raises ConfigError where docker's config, or a helper it names, can't be used.
    """
    environ = os.environ if environ is None else environ
    user, password = environ.get("ORAS_USER"), environ.get("ORAS_PASS")
    if user and password:
        return base64.b64encode(f"{user}:{password}".encode()).decode()
    folder = environ.get("DOCKER_CONFIG")
    path = Path(folder or "~/.docker")
    try:
        path = path.expanduser()
        return _look_up(host, _read_config(path / "config.json"))
    except Exception as error:
        raise ConfigError(
            f"Docker's config in {path}, or a credential helper it names, can't be used for "
            f"{host} ({type(error).__name__}). Mend it, or set ORAS_USER and ORAS_PASS."
        ) from error


def _read_config(path: Path) -> dict[str, Any]:
    try:
        document = orjson.loads(path.read_bytes())
    except FileNotFoundError:
        return {}
    if not isinstance(document, dict):
        raise TypeError("not an object")
    return document


def _look_up(host: str, config: Mapping[str, Any]) -> str | None:
    auths, helpers = config.get("auths") or {}, config.get("credHelpers") or {}
    if not all(isinstance(item, dict) for item in (auths, helpers, *auths.values())):
        raise TypeError("not an object")
    backend = oras.auth.get_auth_backend("token")
    # Given beforehand, because oras reads the config at home besides the one it is told of.
    backend._auth_config = {  # noqa: SLF001
        "auths": auths,
        "credHelpers": helpers,
        "credsStore": config.get("credsStore"),
    }
    # The registry on its own: oras takes a host without a dot for a part of the name.
    backend.load_configs(oras.container.Container("any/any", registry=host))
    basic = getattr(backend, "_basic_auth", None)
    if basic is None:
        return None
    if not isinstance(basic, str) or not basic.isascii():
        raise TypeError("not a login")
    # Some tools wrap base64; a header can't hold line breaks.
    return "".join(basic.split())
