"""``cf-index mark``."""

from __future__ import annotations

import re
from functools import partial
from pathlib import Path
from typing import Any

import click

from indexer.cli import options
from indexer.cli.display import show_marked
from indexer.errors import ConfigError, printable
from indexer.transfer.attest import Signatory
from indexer.transfer.mark import Mark, Said, Saying
from indexer.transfer.references import read_references
from indexer.trust.envelope import sign
from indexer.trust.keys import keyring_of, load_signer

# What a verdict may hold of each.
_MAX_TEXT = 1000
_URI = re.compile(r"[A-Za-z][A-Za-z0-9+.-]*:[!-~]+")
_NO_POLICY = "urn:cf-index:policy:unstated"


@click.command(short_help="Say of builds that they are validated, or rejected.")
@click.argument("references", metavar="REF...", nargs=-1, required=True)
@options.in_order(
    options.config_file,
    options.registry,
    options.channel,
    click.option(
        "--as",
        "said",
        required=True,
        type=click.Choice(["validated", "rejected"]),
        help="What is to be said of them.",
    ),
    click.option(
        "--key",
        type=click.Path(path_type=Path),
        metavar="FILE",
        help="Sign a verdict with this private key, as keygen makes it.",
    ),
    click.option("--reason", default="", metavar="TEXT", help="Why, for people."),
    click.option(
        "--verifier",
        metavar="URI",
        help="With --key: who judges, as verdicts name it.  [default: urn:cf-index:key:ID, with "
        "the key's id]",
    ),
    click.option(
        "--policy-uri",
        metavar="URI",
        help="With --key: the rules that were judged by, such as the address of a page.  "
        f"[default: {_NO_POLICY}]",
    ),
    click.option("--again", is_flag=True, help="Sign again what this key has said already."),
    options.subdir(
        "Look for files here whose subdir isn't said; repeatable.  [default: all that are known]"
    ),
    click.option(
        "--policy",
        metavar="POLICY",
        help="What the indexer asks for: annotation, attestation, both or none. With both, --key "
        "writes the annotation besides.  [default: annotation]",
    ),
    options.audit,
    options.dry_run("Say what would be marked, and write nothing."),
    options.jobs,
    options.retry_for,
)
def mark(
    references: tuple[str, ...],
    config_file: Path | None,
    *,
    said: Said,
    key: Path | None,
    reason: str,
    verifier: str | None,
    policy_uri: str | None,
    again: bool,
    **flags: Any,
) -> None:
    """Say of builds in the registry that they are validated, or rejected.

    A REF is SUBDIR/NAME:TAG (TAG as in the registry, or VERSION-BUILD) or a file name, with or
    without SUBDIR/ before it. @sha256:... behind it is the digest of the manifest that was looked
    at: where the tag leads elsewhere by now, it is refused. - reads a list of them from stdin,
    one a line; a line that is no REF costs itself alone.

    Without --key, the manifest is written again with an annotation (org.conda-forge.status unless
    configured otherwise): its tag then leads to another digest, and whoever may push could have
    written it as well. It is about all archives under the tag.

    With --key, a signed verdict is put beside the package, on each archive or on the one file
    that was named; manifest and tag stay as they are. It counts where rebuild asks for verdicts
    (--policy attestation or both) and trusts the public key. Before it says "validated", the
    archive is fetched, and refused if the manifest says anything of it that isn't so: index.json,
    file name, place, md5. "Rejected" asks nothing of the archive. What this key has said already
    isn't signed again.

    Every write is told to the audit log first. Run it again after an interruption: it goes on
    where it was. Exits 5 when some builds couldn't be marked, each named with its reason.

    \b
    Example:
      cf-index mark linux-64/zlib:1.3-h0@sha256:0123... --as validated \\
        --key validator.pem --registry oci://ghcr.io/acme --channel staging
      cf-index mark zlib-1.3-h0.conda --as rejected --key validator.pem --reason "bad license"
    """
    config = options.read_config(flags, config_file)
    if config.policy.asks_verdict and key is None:
        raise ConfigError(
            f"The policy is {config.policy.name}, which asks for a signed verdict: say --key FILE, "
            "with a private key as cf-index keygen makes it."
        )
    if key is None and (verifier is not None or policy_uri is not None):
        raise ConfigError(
            "--verifier and --policy-uri stand in signed verdicts alone: say --key, too."
        )
    saying = Saying(
        said=said,
        policy=config.policy,
        reason=_text(reason),
        signatory=_signatory(key, verifier, policy_uri) if key is not None else None,
        again=again,
    )
    wanted, unread = read_references(references, options.stdin_lines())
    audit = None if config.dry_run else options.open_audit(config)
    with options.session(config, writing=True) as session:
        job = Mark(session.job(config), saying, audit)
        with options.shown(job.outcome, session, f"marked as {said}", show=show_marked):
            job.outcome.did((), unread)
            job.run(wanted)


def _signatory(key: Path, verifier: str | None, policy_uri: str | None) -> Signatory:
    signer = load_signer(key)
    keyring = keyring_of(signer, key)
    return Signatory(
        sign=partial(sign, signer=signer),
        keyring=keyring,
        verifier=_uri(verifier or f"urn:cf-index:key:{keyring.keys[0].key_id}", "--verifier"),
        policy=_uri(policy_uri or _NO_POLICY, "--policy-uri"),
    )


def _uri(text: str, option: str) -> str:
    if len(text) > _MAX_TEXT or not _URI.fullmatch(text):
        raise ConfigError(f"{option} {printable(text, 200)!r} is no URI, such as urn:acme:ci.")
    return text


def _text(reason: str) -> str:
    """One line that acts on nobody's terminal."""
    shown = printable(reason.strip(), 2 * _MAX_TEXT)
    if len(shown) > _MAX_TEXT:
        raise ConfigError(f"--reason has more than {_MAX_TEXT} characters.")
    return shown
