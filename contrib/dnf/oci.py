"""A plugin for dnf 4: repositories at ``baseurl=oci://...`` are read through a gateway.

See README.md beside it. It runs in the Python of the system's dnf, which may be an old one (3.6).
"""

import logging
import re

import dnf
import dnf.exceptions

DEFAULT_GATEWAY = "http://127.0.0.1:8000/"
_LOG = logging.getLogger("dnf.plugin")
_SCHEME = re.compile(r"oci(\+http)?://", re.IGNORECASE)
# Without a tag nothing tells where the name ends: all of it is the repository.
_REFERENCE = re.compile(
    r"([^/@\s]+(?:/[^/:@\s]+)+)"
    r"(:[^/:@\s]+|@sha256:[0-9a-f]{64})?"
    r"(?:/(.*))?"
)


def gateway_url(gateway: str, url: str) -> str:
    """The http address of an ``oci://host/repository[:tag|@digest][/folder]``; others as they are.

    Raises ValueError where it is none; its text has nothing of the address, which may hold a
    password.
    """
    scheme = _SCHEME.match(url)
    if scheme is None:
        return url
    match = _REFERENCE.fullmatch(url[scheme.end() :])
    if match is None:
        raise ValueError("a baseurl isn't oci://host/repository:tag or ...@sha256:<64 digits>")
    name, reference, folder = match.groups()
    return "{}/{}{}/{}".format(gateway.rstrip("/"), name, reference or ":latest", folder or "")


class Oci(dnf.Plugin):  # type: ignore[misc]  # dnf has no type information
    """Puts the gateway's address in the place of each ``oci://`` of the enabled repositories."""

    name = "oci"

    def config(self) -> None:
        """Called by dnf when all repositories are known. Raises dnf's own ConfigError."""
        gateway = self._gateway()
        for repository in list(self.base.repos.iter_enabled()):
            urls = list(repository.baseurl)
            try:
                changed = [gateway_url(gateway, url) for url in urls]
            except ValueError as error:
                # What one repository's file says is no matter to the others.
                skip = " (skip_if_unavailable)" if repository.skip_if_unavailable else ""
                level = logging.WARNING if skip else logging.ERROR
                _LOG.log(level, "Repository %s is left out: %s.%s", repository.id, error, skip)
                repository.disable()
                continue
            if changed != urls:
                repository.baseurl = changed

    def _gateway(self) -> str:
        found = DEFAULT_GATEWAY
        config = self.read_config(self.base.conf)
        if config.has_section("main") and config.has_option("main", "gateway"):
            found = config.get("main", "gateway").strip()
        if not found.lower().startswith(("http://", "https://")):
            # Not quoted: it may hold a password.
            raise dnf.exceptions.ConfigError(
                "The plugin oci: gateway= in oci.conf is not an http or https address."
            )
        return found
