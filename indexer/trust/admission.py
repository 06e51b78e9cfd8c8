"""What a policy lets in of a manifest, by its annotation and by verdicts. Pure."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import Literal

from indexer.channel.artifact import Fault, archive_layers, index_json_layer
from indexer.channel.policy import Policy
from indexer.errors import ContentError, printable
from indexer.registry.content import Descriptor, Digest, ImageManifest
from indexer.trust.judging import Claim, Judgement, Verdicts

Admitted = Literal["admitted", "waiting", "rejected"]


@dataclass(frozen=True, slots=True)
class Admission:
    """What is let in of a manifest.

    ``manifest`` has those of its archives alone that are let in. ``faults`` are what there is to
    tell of the others, ``notes`` which of them wait beside one that is let in.
    """

    status: Admitted
    manifest: ImageManifest
    faults: tuple[Fault, ...] = ()
    notes: tuple[str, ...] = ()


def admit(manifest: ImageManifest, policy: Policy, verdicts: Verdicts | None) -> Admission:
    """Ask the annotation, and the verdicts where the policy does. None of these stands for none."""
    standing = policy.standing(manifest.annotations)
    if policy.asks_annotation and standing == "rejected":
        said = manifest.annotations.get(policy.reason_key)
        reason = f"marked as rejected: {said}" if said else "marked as rejected"
        return Admission("rejected", manifest, (Fault(reason),))
    is_marked = standing == "validated" or not policy.asks_annotation
    if not policy.asks_verdict:
        return Admission("admitted" if is_marked else "waiting", manifest)
    judged = list(_judge(manifest, verdicts or Verdicts()))
    faults = [Fault(j.reason, layer.title or "") for layer, j in judged if j.reason]
    let_in = [layer for layer, j in judged if j.passed and is_marked]
    if not let_in:
        status: Admitted = "rejected" if any(j.rejected for _, j in judged) else "waiting"
        if status == "waiting" and standing == "validated" and not faults:
            faults = [Fault(f"{policy.key}={policy.value} alone: no verdict of a trusted key")]
        return Admission(status, manifest, tuple(faults))
    waiting = [layer for layer, j in judged if not (j.passed or j.rejected)]
    notes = tuple(
        f"{printable(layer.title or 'an archive without a title', 200)}: "
        "no verdict of a trusted key"
        for layer in waiting
    )
    others = [layer for layer, _ in judged if layer not in let_in]
    keep = tuple(layer for layer in manifest.layers if layer not in others)
    return Admission("admitted", replace(manifest, layers=keep), tuple(faults), notes)


def _judge(manifest: ImageManifest, verdicts: Verdicts) -> Iterator[tuple[Descriptor, Judgement]]:
    index_json: Digest | None
    try:
        index_json = index_json_layer(manifest).digest
    except ContentError:
        # Nothing can pass without it; a "no" needs none.
        index_json = None
    for layer in archive_layers(manifest):
        # Verdicts speak of files by name.
        yield layer, verdicts.judge(Claim.of_layer(layer, index_json))
