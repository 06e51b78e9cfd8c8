"""``cf-index promote``."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import click

from indexer.cli import options
from indexer.config import ChannelConfig
from indexer.errors import ConfigError, UnsupportedError
from indexer.registry import RegistryAddress
from indexer.transfer.copying import are_the_same
from indexer.transfer.naming import list_repositories
from indexer.transfer.promote import Promote
from indexer.transfer.references import read_references


@click.command(short_help="Copy what is validated from staging to production.")
@click.argument("references", metavar="[REF...|-]", nargs=-1)
@options.in_order(
    options.config_file,
    click.option(
        "--from",
        "source",
        required=True,
        metavar="URL",
        help="The staging namespace: oci://host/namespace, oci+http://host:port/namespace or "
        "ocidir://path.",
    ),
    click.option(
        "--to", "target", required=True, metavar="URL", help="The production namespace, likewise."
    ),
    click.option(
        "--channel",
        metavar="NAME",
        help="The channel's name, the part after the namespace; the same in both.",
    ),
    options.subdir(
        "Promote this subdir only; with REFs, look here for those that name none; repeatable.  "
        "[default: all]"
    ),
    options.package("Without REFs: promote packages of these names only; repeatable."),
    options.policy,
    options.trust,
    options.previous,
    options.audit,
    options.dry_run("Say what would be promoted, and write nothing."),
    options.jobs,
    options.retry_for,
)
def promote(
    references: tuple[str, ...],
    config_file: Path | None,
    *,
    source: str,
    target: str,
    **flags: Any,
) -> None:
    """Copy what is validated in a staging namespace to the production one.

    A REF is SUBDIR/NAME:TAG or [SUBDIR/]FILE, with @sha256:... of the manifest behind it where that
    is known; "-" reads such REFs from stdin, one a line, # comments; a line that is none is a
    failure of its own. So is a REF that isn't validated, or whose tag leads to another digest by
    now. Without REFs, everything goes that is
    validated; what isn't is only counted.

    The policy says what is validated: the manifest's annotation (annotation), a signed verdict of a
    key that is given by --trust (attestation), both, or none, which takes everything that is sound.
    Of two formats under one tag only those go along that are let in; verdicts go along.

    Blobs are mounted where both namespaces are of one registry, else they go through this machine,
    checked. A tag is written last, after all that it leads to was found there. What production has
    under a tag is never overwritten by other content: that is a failure which names both digests.
    Nothing is taken out of production. Where what production has is rejected in staging later, that
    verdict goes there, too, whatever staging's tag leads to by then; a rejection by annotation has
    to be marked in production as well.

    Every tag is told to the audit log before it is written.

    Run it again after an interruption: it finishes. Several may run at once. Exits 5 when some
    builds couldn't be promoted, each named with its reason.

    \b
    Examples:
      cf-index promote --from oci://ghcr.io/acme-staging --to oci://ghcr.io/acme \\
        --channel forge --policy attestation --trust validator.pub
      cf-index promote linux-64/zlib:1.3.1-h4ab18f5_1@sha256:... noarch/tqdm-4.66.4-pyhd8_0.conda \\
        --from oci://ghcr.io/acme-staging --to oci://ghcr.io/acme --channel forge
      cat queue.txt | cf-index promote - --from ocidir://staging --to oci://ghcr.io/acme \\
        --channel forge
    """
    config, staging = _read(flags | {"registry": target}, config_file, source)
    if references and config.packages:
        raise ConfigError("--package goes without REFs: a REF names a build already.")
    named, unread = read_references(references, options.stdin_lines())
    with (
        options.session(staging, writing=False) as reading,
        options.session(config, writing=True) as writing,
    ):

        def abort() -> None:
            reading.transport.close()
            writing.transport.close()

        inspector = options.inspector(staging, reading, reading.registry)
        audit = None if config.dry_run else options.open_audit(config)
        job = Promote(replace(writing.job(config), abort=abort), inspector, audit)
        with options.shown(job.outcome, writing, "promoted"):
            job.outcome.did((), unread)
            if staging.policy.asks_verdict and options.site_of(staging) is None:
                job.outcome.note(
                    "No published site is named (--previous): a rejection whose verdict somebody "
                    "deleted isn't known here. rebuild knows it."
                )
            try:
                if references:
                    job.named(named)
                else:
                    job.everything(_listed(staging, reading))
            finally:
                for limited in reading.transport.limited():
                    job.outcome.note(str(limited))


def _read(
    flags: Mapping[str, Any], file: Path | None, source: str
) -> tuple[ChannelConfig, ChannelConfig]:
    """The settings for production, and the same for staging."""
    config = options.read_config(flags, file)
    address = RegistryAddress.parse(source)
    if are_the_same(address, config.registry):
        raise ConfigError(f"--from and --to are the same namespace, {address}.")
    return config, replace(config, registry=address)


def _listed(config: ChannelConfig, session: options.Session) -> Mapping[str, Sequence[str]]:
    try:
        return list_repositories(
            session.registry, session.transport, config.channel, config.subdirs, os.environ
        ).repositories
    except UnsupportedError as error:
        raise UnsupportedError(
            f"{error} Say what is to be promoted: as REFs, or a line each on stdin with -."
        ) from error
