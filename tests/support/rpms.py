"""RPMs and a repository of them, made by rpmbuild and createrepo_c; and dnf, kept to itself."""

from __future__ import annotations

import os
import shutil
import subprocess
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

_PACKAGES = {"dnf": "dnf", "rpmbuild": "rpm", "createrepo_c": "createrepo-c"}
_SPEC = """\
Name: {name}
Version: {version}
Release: 1
Summary: A file of {name}
License: MIT
BuildArch: noarch
{requires}
%description
A file.
%install
mkdir -p %{{buildroot}}/usr/share/{name}
echo {name} {version} > %{{buildroot}}/usr/share/{name}/said
%files
/usr/share/{name}/said
"""
SECONDS = 120.0


def missing_reason() -> str | None:
    """Why dnf can't install anything on this machine, or None where it can."""
    for program, package in _PACKAGES.items():
        if shutil.which(program) is None:
            return f"the program {program!r} is not installed (Debian: apt-get install {package})"
    if os.geteuid() != 0:
        return "rpm installs into another root only for root"
    return None


def build_rpm(folder: Path, name: str, version: str, requires: str = "") -> Path:
    """Build a package of one file, ``/usr/share/<name>/said``; give its path in ``folder``."""
    top = folder / f".build-{name}-{version}"
    top.mkdir(parents=True)
    spec = top / "package.spec"
    wanted = f"Requires: {requires}" if requires else ""
    spec.write_text(_SPEC.format(name=name, version=version, requires=wanted))
    # A home of its own: the user's macros may move the folders.
    _run(["rpmbuild", "-bb", "--quiet", "--define", f"_topdir {top}", str(spec)], home=top)
    (built,) = (top / "RPMS" / "noarch").iterdir()
    path = built.rename(folder / built.name)
    shutil.rmtree(top)
    return path


def make_repository(folder: Path) -> None:
    """Write ``repodata/`` for the RPMs in a folder."""
    _run(["createrepo_c", "--quiet", str(folder)], home=folder.parent)


@dataclass
class Dnf:
    """dnf with nothing of the machine's: its own root, configuration, cache and plugins."""

    place: Path
    plugins: Path | None = None

    @property
    def root(self) -> Path:
        """What it installs into."""
        return self.place / "root"

    def run(
        self, *words: str, answer: str = "", env: dict[str, str] | None = None
    ) -> subprocess.CompletedProcess[str]:
        """Run a command of it; ``answer`` is what is typed."""
        for name in ("root", "repos", "cache", "persist", "log", "vars"):
            (self.place / name).mkdir(parents=True, exist_ok=True)
        config = self.place / "dnf.conf"
        config.write_text("[main]\ngpgcheck=0\nbest=1\nretries=2\ntimeout=20\n")
        plugins = self.plugins or self.place / "vars"
        settings = {
            "reposdir": self.place / "repos",
            "cachedir": self.place / "cache",
            "persistdir": self.place / "persist",
            "logdir": self.place / "log",
            "varsdir": self.place / "vars",
            "pluginpath": plugins,
            "pluginconfpath": self.place,
            "plugins": int(self.plugins is not None),
        }
        command = [
            *("dnf", "--config", str(config), "--installroot", str(self.root)),
            *("--releasever", "1"),
            *(f"--setopt={key}={value}" for key, value in settings.items()),
            *words,
        ]
        return _started(command, self.place, answer, env)

    def write_repository(self, name: str, baseurl: str) -> None:
        """Write a repository's file, as a person would."""
        folder = self.place / "repos"
        folder.mkdir(parents=True, exist_ok=True)
        text = f"[{name}]\nname={name}\nbaseurl={baseurl}\nenabled=1\ngpgcheck=0\n"
        (folder / f"{name}.repo").write_text(text)

    def said(self, name: str) -> str | None:
        """What the installed file of a package says; None where it isn't there."""
        path = self.root / "usr/share" / name / "said"
        return path.read_text() if path.exists() else None


def _run(command: Sequence[str], *, home: Path) -> None:
    done = _started(command, home, "", None)
    assert done.returncode == 0, done.stdout + done.stderr


def _started(
    command: Sequence[str], home: Path, answer: str, env: dict[str, str] | None
) -> subprocess.CompletedProcess[str]:
    environ = {"PATH": os.environ["PATH"], "HOME": str(home), "LC_ALL": "C.UTF-8"}
    return subprocess.run(
        command,
        input=answer,
        capture_output=True,
        text=True,
        timeout=SECONDS,
        check=False,
        env=environ | (env or {}),
    )
