"""What the pages are looked at with: a small channel that looks like a real one, and an enemy."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

LINUX, ARM, MAC = "linux-64", "linux-aarch64", "osx-arm64"
NATIVE = (LINUX, ARM, MAC)
NOARCH = ("noarch",)
PYTHONS = ("py312", "py313", "py314")

DESCRIPTION = "org.opencontainers.image.description"
HOME = "org.opencontainers.image.url"
SOURCE = "org.opencontainers.image.source"
DOCUMENTATION = "org.opencontainers.image.documentation"


@dataclass(frozen=True, slots=True)
class Kept:
    """One name of the channel: its versions oldest first, and what its manifests say of it.

    ``builds`` are the build strings' beginnings. ``links`` says whether it has addresses.
    """

    name: str
    versions: tuple[str, ...]
    summary: str = ""
    license: str = "BSD-3-Clause"
    depends: tuple[str, ...] = ()
    subdirs: tuple[str, ...] = NATIVE
    builds: tuple[str, ...] = ("h",)
    links: bool = True
    index: dict[str, Any] = field(default_factory=dict)
    annotations: dict[str, str] = field(default_factory=dict)

    @property
    def about(self) -> dict[str, str]:
        """The annotations of its manifests."""
        found = {DESCRIPTION: self.summary} if self.summary else {}
        if self.links:
            found |= {
                HOME: f"https://{self.name}.example.org/",
                SOURCE: f"https://git.example.org/{self.name}",
                DOCUMENTATION: f"https://docs.example.org/{self.name}/",
            }
        return found | self.annotations


PURE = ("pyhd8ed1ab",)
_PY = "python >=3.10"

KEPT = (
    Kept("_libgcc_mutex", ("0.1",), "", "None", subdirs=(LINUX,), builds=("conda_forge",)),
    Kept("_openmp_mutex", ("4.5",), "", depends=("_libgcc_mutex 0.1",), subdirs=(LINUX, ARM)),
    Kept("bzip2", ("1.0.8",), "High-quality data compressor", "bzip2-1.0.6"),
    Kept(
        "ca-certificates",
        ("2026.7.22", "2026.9.30", "2026.10.28"),
        "Certificates for use with other packages",
        "ISC",
        subdirs=NOARCH,
        builds=("hbd8a1cb",),
    ),
    Kept("certifi", ("2026.8.2", "2026.10.5"), "Mozilla's CA bundle", "ISC", (_PY,), NOARCH, PURE),
    Kept(
        "charset-normalizer",
        ("3.4.3", "3.4.4"),
        "A library that helps you read text from an unknown charset encoding",
        "MIT",
        (_PY,),
        NOARCH,
        PURE,
    ),
    Kept(
        "click",
        ("8.1.8", "8.2.1", "8.3.0"),
        "Composable command line interface toolkit",
        depends=(_PY,),
        subdirs=NOARCH,
        builds=PURE,
    ),
    Kept("idna", ("3.10", "3.11"), "Internationalised domain names", "", (_PY,), NOARCH, PURE),
    Kept(
        "jinja2",
        ("3.1.5", "3.1.6"),
        "A very fast and expressive template engine",
        depends=("markupsafe >=2.0", _PY),
        subdirs=NOARCH,
        builds=PURE,
    ),
    Kept(
        "libblas", ("3.9.0", "3.11.0"), "Linear algebra", depends=("libopenblas >=0.3.30,<1.0a0",)
    ),
    Kept("libcblas", ("3.9.0", "3.11.0"), "The C face of BLAS", depends=("libblas >=3.9",)),
    Kept("libffi", ("3.4.6", "3.5.2"), "A portable foreign function interface library", "MIT"),
    Kept(
        "libgcc",
        ("14.2.0", "15.2.0"),
        "The GCC low-level runtime library",
        "GPL-3.0-only WITH GCC-exception-3.1",
        ("_libgcc_mutex 0.1 conda_forge", "_openmp_mutex >=4.5"),
        (LINUX,),
        links=False,
    ),
    Kept("liblapack", ("3.9.0", "3.11.0"), "Linear algebra package", depends=("libblas >=3.9",)),
    Kept("libopenblas", ("0.3.29", "0.3.30"), "An optimized BLAS library"),
    Kept("libsqlite", ("3.50.4", "3.51.0"), "A self-contained SQL engine", "blessing"),
    Kept("libzlib", ("1.3.1",), "A massively spiffy yet delicately unobtrusive library", "Zlib"),
    Kept("lz4-c", ("1.9.4", "1.10.0"), "Extremely fast compression", "BSD-2-Clause"),
    Kept("markupsafe", ("3.0.2", "3.0.3"), "Text that is safe in HTML", depends=("python",)),
    Kept(
        "matplotlib-base",
        ("3.10.6", "3.10.7"),
        "Publication quality figures in Python",
        "PSF-2.0",
        ("numpy >=1.23,<3", "python-dateutil >=2.7", "python", "pillow >=8"),
        builds=("py313",),
    ),
    Kept("ncurses", ("6.5",), "Text-based user interfaces", "X11 AND BSD-3-Clause"),
    Kept(
        "numpy",
        ("2.2.6", "2.3.3", "2.3.4"),
        "The fundamental package for scientific computing with Python",
        depends=("libcblas >=3.9.0,<4.0a0", "liblapack >=3.9.0,<4.0a0", "python"),
        builds=PYTHONS,
        index={"constrains": ["numpy-base <0a0"]},
    ),
    Kept(
        "openssl",
        ("3.4.3", "3.5.4", "3.6.0"),
        "OpenSSL is an open-source implementation of the SSL and TLS protocols",
        "Apache-2.0",
        ("ca-certificates",),
    ),
    Kept(
        "pandas",
        ("2.3.2", "2.3.3"),
        "Powerful data structures for data analysis, time series, and statistics",
        depends=("numpy >=1.26", "python-dateutil >=2.8.2", "pytz >=2020.1", "python"),
        builds=PYTHONS,
    ),
    Kept("pip", ("25.2", "25.3"), "Installs Python packages", "MIT", (_PY,), NOARCH, PURE),
    Kept("pybind11", ("3.0.1",), "", "", (_PY,), NOARCH, PURE, links=False),
    Kept(
        "python",
        ("3.12.11", "3.13.7", "3.13.9", "3.14.0"),
        "General purpose programming language",
        "Python-2.0",
        (
            "bzip2 >=1.0.8,<2.0a0",
            "libffi >=3.4,<4.0a0",
            "libsqlite >=3.50,<4.0a0",
            "libzlib >=1.3.1,<2.0a0",
            "ncurses >=6.5,<7.0a0",
            "openssl >=3.5,<4.0a0",
            "readline >=8.2,<9.0a0",
            "tzdata",
            "xz >=5.8,<6.0a0",
        ),
        builds=("hd3a8",),
        index={"run_exports": {"noarch": ["python"]}},
    ),
    Kept(
        "python-dateutil",
        ("2.9.0.post0",),
        "Extensions to the standard datetime module",
        "Apache-2.0",
        (_PY, "six >=1.5"),
        NOARCH,
        PURE,
    ),
    Kept("pytz", ("2025.2",), "World timezone definitions", "MIT", (_PY,), NOARCH, PURE),
    Kept("readline", ("8.2",), "Lets users edit command lines", "GPL-3.0-only", ("ncurses",)),
    Kept(
        "requests",
        ("2.32.4", "2.32.5"),
        "Requests is an elegant and simple HTTP library for Python, built with ♥",
        "Apache-2.0",
        ("certifi >=2017.4.17", "charset-normalizer", "idna", "urllib3 >=1.21.1,<3", _PY),
        NOARCH,
        PURE,
    ),
    Kept(
        "scipy",
        ("1.16.2", "1.16.3"),
        "Scientific library for Python: optimisation, integration, interpolation, eigenvalue "
        "problems, algebraic and differential equations, statistics and many other classes of "
        "problems, from a broad collection of algorithms that wrap highly optimised code",
        depends=("numpy >=1.23.5,<2.6", "libblas", "python"),
        builds=("py313",),
    ),
    Kept("setuptools", ("80.9.0",), "Builds Python packages", "MIT", (_PY,), NOARCH, PURE),
    Kept("six", ("1.17.0",), "Python 2 and 3 compatibility", "MIT", (_PY,), NOARCH, PURE),
    Kept("tzdata", ("2025b", "2025c"), "The time zone database", "", (), NOARCH, ("h78e105d",)),
    Kept("urllib3", ("2.5.0",), "HTTP library with pooling", "MIT", (_PY,), NOARCH, PURE),
    Kept("wheel", ("0.45.1",), "A built-package format", "MIT", (_PY,), NOARCH, PURE),
    Kept("xz", ("5.8.1",), "Data compression with a high ratio", "0BSD"),
    Kept("zlib", ("1.3.1",), "Massively spiffy", "Zlib", ("libzlib 1.3.1",)),
    Kept("zstd", ("1.5.6", "1.5.7"), "Fast real-time compression", depends=("libzlib",)),
)

ATTACK = "<script>window.attacked='{}'</script><img src=x onerror=\"window.attacked='{}'\">"


def attack(place: str) -> str:
    """A text that takes over a page which forgets that it is text; says which one did."""
    quotes = "\"'><svg onload=window.attacked=1>"
    return f"{ATTACK.format(place, place)}{quotes}]]>&lt;b&gt;{{{{7*7}}}}{{% include 'x' %}}"


# Everything that the border lets through, as bad as it can be.
HOSTILE = Kept(
    "hostile",
    ("1!1.0+alert.1", "1!2.0+alert.1"),
    attack("summary"),
    attack("license"),
    ("hostile-too >=1,<2", "python[build='*x']", "constructor", "tostring"),
    subdirs=("noarch", LINUX),
    builds=("x.onerror",),
    index={
        "license_family": attack("family"),
        "track_features": [attack("feature")],
        "anything": attack("anything"),
        "purls": ["pkg:javascript/alert"],
    },
    annotations={
        HOME: "javascript:window.attacked='home'",
        SOURCE: "https://example.org/\"onmouseover=\"window.attacked='source'",
        DOCUMENTATION: "data:text/html,<script>window.attacked='documentation'</script>",
    },
)
CONTROL = Kept(
    "hostile-too",
    ("1.0",),
    "A bell \x07, a null \x00, a break\nof line, \u202edekcart\u202c, no character \uffff",
    "MIT",
    subdirs=NOARCH,
    annotations={
        HOME: " \tJaVaScRiPt\n:alert(1)",
        SOURCE: "//example.org/whose-scheme",
        DOCUMENTATION: "https://user:word@[::1",
    },
)
LONGEST = Kept(
    "longest-" + "n" * 56,
    ("1" + ".2" * 31,),
    "W" * 300 + " " + "https://example.org/" + "w" * 300,
    "LicenseRef-" + "l" * 200,
    tuple(f"{'d' * 40}-{number} >=1.{'0' * 20},<2.0a0" for number in range(30)),
    subdirs=("linux-" + "a" * 26,),
    builds=("b" * 40,),
)
ENEMIES = (HOSTILE, CONTROL, LONGEST)
