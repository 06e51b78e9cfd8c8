"""``cf-index keygen``."""

from __future__ import annotations

from pathlib import Path

import click

from indexer.trust.keys import make_key_pair, short_id


@click.command(short_help="Make a key pair, to sign verdicts with.")
@click.option(
    "--private",
    required=True,
    type=click.Path(path_type=Path),
    metavar="FILE",
    help="Where the private key goes, which signs. Keep it from whoever may push packages.",
)
@click.option(
    "--public",
    required=True,
    type=click.Path(path_type=Path),
    metavar="FILE",
    help="Where the public key goes, for all who are to trust it.",
)
def keygen(private: Path, public: Path) -> None:
    """Make an Ed25519 key pair, in two PEM files.

    The private key is readable to its owner alone (mode 0600), isn't encrypted, and is never
    printed. A file that is there already is never overwritten; where one of the two can't be
    written, the other isn't left behind.

    Prints the key's id, by which verdicts and the audit log name it.

    \b
    Example:
      cf-index keygen --private validator.pem --public validator.pub
    """
    key_id = make_key_pair(private, public)
    click.echo(f"Key {short_id(key_id)} ({key_id})")
    click.echo(f"Sign with it:   cf-index mark ... --key {private}")
    click.echo(f"Let it count:   cf-index rebuild ... --policy attestation --trust {public}")
