"""What bench/verdicts.py measures is what it says: every package is let in, by its own verdict."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from bench import verdicts
from tests.conftest import skip_unless
from tests.support.registry_process import missing_reason
from tests.support.rig import records_in


def test_every_package_comes_in_by_its_verdict(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    skip_unless(missing_reason())
    monkeypatch.setattr(verdicts, "ROUNDS", 1)
    rows = verdicts.measured(tmp_path, 2, 3)
    found = {row["what"]: row for row in rows}
    assert len(found) == 6
    assert found["6 opened, one key"]["us a verdict"] > 0
    assert found["run without verdicts"]["manifests"] == 6
    assert found["run with verdicts"]["manifests"] == 12
    assert found["the same, nothing new"]["manifests"] == 0
    for folder in ("none", "asking"):
        assert len(records_in(tmp_path / folder / "site", "linux-64")) == 6
    status = json.loads((tmp_path / "asking/site/status.json").read_text())
    assert status["policy"] == "attestation"
