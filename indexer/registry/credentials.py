"""Who we are to a registry: ORAS_USER and ORAS_PASS, docker's config and its helpers, or nobody.

oras reads docker's config and runs the credential helpers; nothing of what it finds is
printed or logged.
"""

from __future__ import annotations

import base64
import logging
import os
from collections.abc import Mapping
from pathlib import Path

import oras.auth
import oras.container

from indexer.errors import ConfigError

# oras logs by handlers of its own, among other things what a failing helper printed.
logging.getLogger("oras.logger").disabled = True


def find_basic(host: str, environ: Mapping[str, str] | None = None) -> str | None:
    """The value of ``Authorization: Basic …`` for a registry host; None for an anonymous read.

    Raises ConfigError where docker's config can't be read.
    """
    environ = os.environ if environ is None else environ
    user, password = environ.get("ORAS_USER"), environ.get("ORAS_PASS")
    if user and password:
        return base64.b64encode(f"{user}:{password}".encode()).decode()
    return _from_docker_config(host, environ)


def _from_docker_config(host: str, environ: Mapping[str, str]) -> str | None:
    configs = []
    if folder := environ.get("DOCKER_CONFIG"):
        configs = [path for path in (str(Path(folder) / "config.json"),) if Path(path).exists()]
    backend = oras.auth.get_auth_backend("token")
    try:
        backend.load_configs(oras.container.Container(f"{host}/any/any"), configs)
    except Exception as error:
        raise ConfigError(
            f"Docker's config or a credential helper it names can't be read for {host} "
            f"({type(error).__name__}); mend it, or set ORAS_USER and ORAS_PASS."
        ) from error
    basic = getattr(backend, "_basic_auth", None)
    return basic if isinstance(basic, str) else None
