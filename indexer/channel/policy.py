"""Which artifacts are let into the index (DESIGN decision 6)."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal, get_args

PolicyName = Literal["annotation", "attestation", "both", "none"]
# What an annotation says of a manifest.
Standing = Literal["validated", "rejected", "unmarked"]

POLICIES: tuple[PolicyName, ...] = get_args(PolicyName)
REJECTED = "rejected"


@dataclass(frozen=True, slots=True)
class Policy:
    """Who has to say that an artifact is validated.

    ``annotation``: the manifest says ``key=value``. ``attestation``: a verdict that was signed with
    a trusted key says so of its archive and its index.json. ``both``: both do. ``none``: nobody,
    everything is let in.

    An annotation can be written by anyone who may push; it says nothing about who wrote it.
    """

    name: PolicyName = "annotation"
    key: str = "org.conda-forge.status"
    value: str = "validated"

    @property
    def asks_annotation(self) -> bool:
        """Whether nothing is let in without the annotation."""
        return self.name in {"annotation", "both"}

    @property
    def asks_verdict(self) -> bool:
        """Whether nothing is let in without a signed verdict."""
        return self.name in {"attestation", "both"}

    @property
    def reason_key(self) -> str:
        """The annotation that says why, for people."""
        return f"{self.key}.reason"

    def standing(self, annotations: Mapping[str, str]) -> Standing:
        """What the annotation says of a manifest with these annotations."""
        said = annotations.get(self.key)
        if said == self.value:
            return "validated"
        return "rejected" if said == REJECTED else "unmarked"

    def __str__(self) -> str:
        annotation = f"annotation {self.key}={self.value}"
        if self.name == "both":
            return f"{annotation} and attestation"
        return annotation if self.name == "annotation" else self.name


DEFAULT_POLICY = Policy()
