"""What the pages and the API say of the channel besides its packages."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from indexer.channel import codec

Installs = Literal["oci", "https", "none"]

# Where --site-url doesn't say: of this site, or of what stands in front of it.
_UNKNOWN_SITE = "https://ADDRESS-OF-THIS-SITE"
_UNKNOWN_GATEWAY = "https://ADDRESS-OF-THE-GATEWAY"


@dataclass(frozen=True, slots=True)
class BlobAddresses:
    """Where blobs are, up to the subdir: by the registry's name and by its HTTP API.

    As in ``oci://ghcr.io/acme/forge`` and ``https://ghcr.io/v2/acme/forge``.
    """

    oci: str
    https: str

    def of(self, subdir: str, name: str, sha256: str) -> tuple[str, str]:
        """Both addresses of a package's archive (OCI distribution specification 1.1, "Blobs").

        ``subdir`` and ``sha256`` may be placeholders.
        """
        place = f"{subdir}/{codec.repository_name(name)}"
        return (
            f"{self.oci}/{place}@sha256:{sha256}",
            f"{self.https}/{place}/blobs/sha256:{sha256}",
        )


@dataclass(frozen=True, slots=True)
class SiteInfo:
    """What is said of a channel.

    ``installs`` tells by which way clients get packages: ``oci``, ``https`` or ``none``.
    ``site_url`` is empty where the site's address isn't known; ``blobs`` is None where the
    registry has no address that others could follow.
    """

    channel: str
    registry: str
    policy: str
    validated_only: bool
    site_url: str
    installs: Installs
    blobs: BlobAddresses | None = None

    @property
    def site(self) -> str:
        """The site's address as commands have it."""
        unknown = _UNKNOWN_GATEWAY if self.installs == "none" else _UNKNOWN_SITE
        return self.site_url.rstrip("/") or unknown

    def absolute(self, path: str) -> str:
        """The whole address of a path of the site; empty where it isn't known."""
        return f"{self.site_url.rstrip('/')}/{path}" if self.site_url else ""

    def install_commands(self, name: str) -> list[tuple[str, str]]:
        """How a package is installed: by which clients, and the commands."""
        pixi = f"pixi workspace channel add {self.site}\npixi add {name}"
        if self.installs == "oci":
            return [("pixi", pixi)]
        return [
            ("pixi", pixi),
            ("conda", f"conda install --override-channels --channel {self.site} {name}"),
            ("mamba", f"mamba install --override-channels --channel {self.site} {name}"),
        ]
