"""Whether parts fit the site that is published now: each was made upon one as it was then."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import dataclass, field, replace

from indexer.errors import ConfigError, ContentError, GuardError, printable
from indexer.files import sizes_in
from indexer.rebuild.look import Look
from indexer.rebuild.part import Part, base_of
from indexer.rebuild.previous import Previous
from indexer.rebuild.share import Share
from indexer.render import shards
from indexer.trust.judging import Held


@dataclass(slots=True)
class Fitted:
    """The shares that are to be put over the published site; ``passed_over`` are other subdirs."""

    shares: list[Share] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)
    passed_over: set[str] = field(default_factory=set)


def fit(
    parts: Sequence[Part], previous: Previous, look: Look, rejected: Collection[Held]
) -> Fitted:
    """Choose the shares. ``rejected`` is every "no" that is known by now.

    Raises GuardError for a part that was made upon another site, which would undo what that one
    doesn't know; ConfigError for one that was made with other settings, or isn't whole.
    """
    fitted = Fitted()
    for part in parts:
        shares = {share.subdir: share for share in part.shares}
        for subdir, base in part.bases.items():
            share = shares.get(subdir)
            if base_of(previous, subdir) != base:
                if not _is_there(share, previous):
                    raise GuardError(
                        f"The part of {subdir} was made upon another index than is published now: "
                        "another run published meanwhile, or --previous is another site. Make the "
                        "parts again."
                    )
                fitted.notes.append(f"what the part of {subdir} brings is published already")
                fitted.passed_over.add(subdir)
                continue
            entry = share.entry if share is not None else previous.subdir(subdir).entry
            if entry is not None and entry.rendering != look.of_subdir(subdir):
                raise ConfigError(
                    f"The part of {subdir} was made with another --base-url. Join with the "
                    "settings that the parts were made with."
                )
            if share is None:
                continue
            if file_name := _rejected_since(share, part, rejected):
                # Not an error: the next part is told by the site, and the others needn't wait.
                fitted.notes.append(
                    f"the part of {subdir} is passed over: it lets in {file_name}, which was "
                    "rejected meanwhile; the next run reads it again"
                )
                fitted.passed_over.add(subdir)
                continue
            fitted.shares.append(_measured(share, previous))
    # The order of the arguments says nothing.
    fitted.shares.sort(key=lambda share: share.subdir)
    return fitted


def _is_there(share: Share | None, previous: Previous) -> bool:
    """Whether an earlier joining, ended before it could say so, put this very share there."""
    if share is None:
        return False
    entry = previous.subdir(share.subdir).entry
    return entry is not None and entry.files == share.entry.files


def _rejected_since(share: Share, part: Part, rejected: Collection[Held]) -> str | None:
    """A file that a part lets in, since it didn't know the "no"; None where there is none.

    Where it knew, a later "yes" of the validator may have decided.
    """
    known = {(held.verdict, held.key_id) for held in part.rejections}
    for held in rejected:
        verdict = held.verdict
        digest = share.shards.get(verdict.name)
        if (verdict, held.key_id) in known or verdict.subdir != share.subdir or digest is None:
            continue
        path = share.folder / share.subdir / shards.FOLDER / f"{digest}{shards.SUFFIX}"
        if not path.is_file():
            # As it is published: nothing of it was let in by the part.
            continue
        try:
            records = shards.unpack_shard(shards.open_shard(path.read_bytes(), digest))
        except ContentError as error:
            raise ConfigError(
                f"The part of {share.subdir} can't be joined: {path.name}: {error}. Make it again."
            ) from error
        record = records.get(verdict.file_name)
        if record is not None and record.sha256 == verdict.archive.hex:
            return printable(verdict.file_name, 200)
    return None


def _measured(share: Share, previous: Previous) -> Share:
    """The share with the size of its shards, which are in its folder or published already."""
    sizes = dict(previous.subdir(share.subdir).shard_sizes())
    for name, size in sizes_in(share.folder / share.subdir / shards.FOLDER).items():
        sizes[name.removesuffix(shards.SUFFIX)] = size
    lost = sorted(name for name, digest in share.shards.items() if digest not in sizes)
    if lost:
        raise ConfigError(
            f"The part of {share.subdir} has no shard of {lost[0]}, and neither has the published "
            f"site ({len(lost):,} are missing). Make the part again."
        )
    total = sum(sizes[digest] for digest in share.shards.values())
    return replace(share, entry=replace(share.entry, shard_bytes=total))
