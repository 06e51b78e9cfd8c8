"""``cf-index serve``."""

from __future__ import annotations

import contextlib
import importlib.util
import math
import os
import sys
from pathlib import Path
from typing import Any

import click

from indexer.cli import options
from indexer.config import load_output
from indexer.errors import ConfigError, printable
from indexer.published import check_address, is_address
from indexer.registry import RegistryAddress
from indexer.registry.reach import Reach
from indexer.settings import read_base_url, read_channel


class _Range(click.FloatRange):
    """Bounds that nan is outside of."""

    def convert(
        self, value: Any, param: click.Parameter | None, ctx: click.Context | None
    ) -> float:
        """The number. Fails where it is none."""
        number = float(super().convert(value, param, ctx))
        if math.isnan(number):
            self.fail(f"{value!r} is no number.", param, ctx)
        return number


# No other command needs them.
_LIBRARIES = (
    "aiohttp",
    "certifi",
    "httptools",
    "prometheus_client",
    "starlette",
    "uvicorn",
    "uvloop",
    "yarl",
)


@click.command(short_help="Serve a site, with its packages by plain file names.")
@click.argument("site", metavar="[DIR]", required=False, type=click.Path(path_type=Path))
@options.in_order(
    click.option("--channel-url", metavar="URL",
                 help="Serve the site that is published there, instead of one in a folder."),
    click.option(
        "--artifact",
        "artifacts",
        multiple=True,
        metavar="REF",
        help="Serve the files of this OCI artifact, as oci://HOST/REPOSITORY:TAG; repeatable.",
    ),
    click.option(
        "--registry", metavar="URL", help="Where the packages are.  [default: the site says it]"
    ),
    click.option(
        "--channel", metavar="NAME", help="The channel's name.  [default: the site says it]"
    ),
    click.option("--host", metavar="ADDRESS", default="127.0.0.1", show_default=True,
                 help="Where to listen; 0.0.0.0: on all addresses of this machine."),
    click.option("--port", type=click.IntRange(0, 65535), default=8000, show_default=True,
                 metavar="PORT", help="Port there; 0: a free one, which is printed."),
    click.option(
        "--packages",
        type=click.Choice(["auto", "redirect", "stream"]),
        default="auto",
        show_default=True,
        help="Send clients to where the registry has a package, or pass its bytes through. auto: "
        "redirect to signed addresses, and to registries that clients can ask by https without a "
        "token; else stream.",
    ),
    click.option(
        "--base-url",
        metavar="URL",
        help="Write this address into the index as that of the packages; needed only where they "
        "are to be asked for under another name.  [default: none, clients ask beside the index]",
    ),
    click.option("--refresh", type=_Range(1, 86_400), default=60.0, show_default=True,
                 metavar="SECONDS",
                 help="How often to look for a new index or tag; in a folder every 2 s."),
    click.option("--timeout", type=_Range(1, 300), default=10.0, show_default=True,
                 metavar="SECONDS",
                 help="How long the registry has to begin its answer; then clients are told to "
                 "try later."),
    click.option("--allow-host", "allowed", multiple=True, metavar="HOST[:PORT]",
                 help="Follow the registry to this server, though its address isn't public; "
                 "repeatable."),
    click.option("--streams", type=click.IntRange(1, 10_000), default=64, show_default=True,
                 metavar="N",
                 help="Packages that are passed through at once; beyond, clients are told to try "
                 "later."),
    click.option("--connections", type=click.IntRange(1, 100_000), default=1024, show_default=True,
                 metavar="N", help="Connections of clients at once; beyond, idle ones are closed."),
    click.option("--unpacked", type=_Range(0.001, 1_000_000), default=8.0,
                 show_default=True, metavar="GB",
                 help="Disk for the unpacked folders of artifacts, below TMPDIR."),
    click.option("--trusted-proxy", "forwarded_by", multiple=True, metavar="IP",
                 help="Believe this proxy's X-Forwarded-For in the log; repeatable."),
    click.option("--access-log/--no-access-log", default=True, show_default=True,
                 help="A JSON object a request on stdout."),
)  # fmt: skip
def serve(
    site: Path | None,
    channel_url: str | None,
    artifacts: tuple[str, ...],
    registry: str | None,
    channel: str | None,
    base_url: str | None,
    **flags: Any,
) -> None:
    """Serve a channel to conda, mamba and pixi from one address: index, pages and packages.

    conda and mamba can't read a registry; this answers plain file names, until Ctrl-C. DIR is a
    site that rebuild made; without it, the output that cf-index.toml names. The index is served
    from there. A package is asked of the registry by its digest in the index, and the client is
    sent to where the registry has it, or gets the bytes through here. What the index doesn't name
    isn't served. A new index is taken over as soon as it is there.

    For a private registry: ORAS_USER and ORAS_PASS, or docker login. Whoever reaches this address
    can read all of the channel: it asks nobody who they are, and speaks no TLS. Put a proxy in
    front.

    For monitors there are /-/healthy, /-/ready and /-/metrics. It needs more libraries than other
    commands: pip install 'cf-index[gateway]'.

    \b
    Examples:
      cf-index serve site
      conda create -n try --override-channels -c http://127.0.0.1:8000/ NAME
      cf-index serve --channel-url https://acme.github.io/forge/ --host 0.0.0.0
      cf-index serve --artifact oci://quay.io/someone/yum-repo:latest
    """
    _check_libraries()
    from indexer.gateway import opening  # noqa: PLC0415  its libraries may be missing
    from indexer.gateway.options import Options  # noqa: PLC0415

    settings = Options(**flags)
    # Told before anything is read.
    Reach.of(settings.allowed)
    if artifacts:
        if site or channel_url or registry or channel or base_url:
            raise ConfigError(
                "--artifact is served alone, without a site, --registry, --channel or --base-url."
            )
        opening.serve_artifacts(artifacts, settings, _tell)
        return
    origin = opening.Origin(
        None if registry is None else RegistryAddress.parse(registry),
        None if channel is None else read_channel(channel),
    )
    base = None if base_url is None else read_base_url(base_url)
    if channel_url is not None:
        if site is not None:
            raise ConfigError(f"Serve {site} or --channel-url, not both.")
        if not is_address(channel_url):
            raise ConfigError("--channel-url is no http(s) address; a folder is given without it.")
        check_address(channel_url)
        opening.serve_channel_url(channel_url, origin, base, settings, _tell)
        return
    folder = site or load_output(os.environ)
    if folder is None:
        raise ConfigError(
            "Nothing to serve: name a site's folder, --channel-url or --artifact; or a settings "
            "file here that names an output."
        )
    opening.serve_site(folder, origin, base, settings, _tell)


def _check_libraries() -> None:
    lacking = [name for name in _LIBRARIES if importlib.util.find_spec(name) is None]
    if lacking:
        raise ConfigError(
            f"serve needs libraries that aren't installed ({', '.join(lacking)}): "
            "pip install 'cf-index[gateway]'"
        )


def _tell(line: str) -> None:
    """To stderr, at once: stdout is for the access log."""
    # Whoever closed it, or filled its disk, doesn't want to know; clients are served all the same.
    if sys.stderr is None:
        # print would take stdout instead.
        return
    with contextlib.suppress(OSError, ValueError):
        print(printable(line), file=sys.stderr, flush=True)  # noqa: T201  click drops closed ones
