"""Which artifacts are let into the index (DESIGN decision 6)."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal

PolicyName = Literal["annotation", "none"]


@dataclass(frozen=True, slots=True)
class Policy:
    """``annotation``: the manifest says ``key=value``. ``none``: everything is let in.

    An annotation can be written by anyone who may push; it says nothing about who wrote it.
    """

    name: PolicyName = "annotation"
    key: str = "org.conda-forge.status"
    value: str = "validated"

    def admits(self, annotations: Mapping[str, str]) -> bool:
        """Whether a manifest with these annotations is validated."""
        return self.name == "none" or annotations.get(self.key) == self.value

    def __str__(self) -> str:
        return f"annotation {self.key}={self.value}" if self.name == "annotation" else "none"


DEFAULT_POLICY = Policy()
