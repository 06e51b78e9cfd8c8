"""What a package says of itself to people: a line about it, and where to read more.

Archives have it in ``info/about.json``, manifests in annotations (OCI image specification 1.1,
"Pre-Defined Annotation Keys"). Nobody signs it. Whatever an uploader made of it, what comes out is
short, on one line, and links lead to websites alone.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass

import orjson

_MAX_SUMMARY = 300
_MAX_URL = 500
_SCHEMES = ("https://", "http://")

# As in index_json; line breaks and tabs are blanks. Besides, what Unicode has for no text at all:
# XML, and so a feed, can't hold some of it.
_NO_TEXT = re.compile(
    r"[\x00-\x1f\x7f-\x9f\u2028\u2029\u202a-\u202e\u2066-\u2069\ud800-\udfff\ufdd0-\ufdef\ufffe\uffff"
    + "".join(
        f"{chr(plane + 0xFFFE)}{chr(plane + 0xFFFF)}" for plane in range(1 << 16, 17 << 16, 1 << 16)
    )
    + "]"
)

# RFC 3986 by its letter, so that a browser reads nothing else in it: no user before the host, which
# is a name with a dot in it and in ASCII, no quotes, brackets or backslashes anywhere.
_PATH = r"(?:[A-Za-z0-9._~!$&()*+,;=:@/-]++|%[0-9A-Fa-f]{2})*+"
_QUERY = r"(?:[A-Za-z0-9._~!$&()*+,;=:@/?-]++|%[0-9A-Fa-f]{2})*+"
_LABEL = r"[A-Za-z0-9](?:[A-Za-z0-9_-]{0,61}[A-Za-z0-9])?"
_URL = re.compile(
    rf"(?P<scheme>(?i:https?))(?P<rest>://(?:{_LABEL}\.)+[A-Za-z](?:[A-Za-z0-9-]{{0,61}}[A-Za-z0-9])"
    rf"(?::[0-9]{{1,5}})?(?:/{_PATH})?(?:\?{_QUERY})?(?:#{_QUERY})?)"
)


@dataclass(frozen=True, slots=True)
class About:
    """A package's summary, and the addresses of its home, source and documentation.

    What is empty isn't known.
    """

    summary: str = ""
    home: str = ""
    source: str = ""
    documentation: str = ""

    def __bool__(self) -> bool:
        """Whether anything is known."""
        return bool(self.summary or self.home or self.source or self.documentation)

    def as_dict(self) -> dict[str, str]:
        """What is known, by field."""
        fields = {key: getattr(self, key) for key in _ANNOTATIONS}
        return {key: value for key, value in fields.items() if value}


NOTHING_KNOWN = About()

_ANNOTATIONS = {
    "summary": "org.opencontainers.image.description",
    "home": "org.opencontainers.image.url",
    "source": "org.opencontainers.image.source",
    "documentation": "org.opencontainers.image.documentation",
}
# Not dev_url: a registry may give a repository the access rights of the source that its packages
# name (ghcr.io does), and an archive must not decide those.
_ABOUT_JSON = {"summary": "summary", "home": "home", "documentation": "doc_url"}


def about_of(annotations: Mapping[str, str]) -> About:
    """What a manifest's annotations say. What can't be shown is as good as not there."""
    found = (annotations.get(key, "") for key in _ANNOTATIONS.values())
    return _checked(*found)


def annotations_of(about_json: bytes) -> dict[str, str]:
    """The annotations that say the same as an archive's ``info/about.json``; none of nonsense."""
    try:
        document = orjson.loads(about_json)
    except orjson.JSONDecodeError:
        return {}
    if not isinstance(document, dict):
        return {}
    found = {field: _text(document.get(key)) for field, key in _ABOUT_JSON.items()}
    about = _checked(**{"source": "", **found})
    return {_ANNOTATIONS[key]: value for key, value in about.as_dict().items()}


def remembered(fields: object) -> About:
    """What ``as_dict`` gave, read back. Raises TypeError for what can't be of it.

    There is one for each name of a channel: no more is looked at than what could do harm.
    """
    if not isinstance(fields, dict):
        raise TypeError("what is said of a package is no map")
    about = About(**fields)
    for link in (about.home, about.source, about.documentation):
        if not str.startswith(link, _SCHEMES) and link:
            raise TypeError(f"{link[:80]!r} is no address of a website")
    if type(about.summary) is not str:
        raise TypeError("a summary that is no text")
    return about


def _checked(summary: str, home: str, source: str, documentation: str) -> About:
    return About(line_of(summary), _address(home), _address(source), _address(documentation))


def _text(value: object) -> str:
    """A string, or the first of a list of them."""
    if isinstance(value, list):
        value = next((item for item in value if isinstance(item, str)), "")
    return value if isinstance(value, str) else ""


def line_of(text: str) -> str:
    """A text as one line that pages and feeds can show, of at most 300 characters."""
    if not text.isprintable():
        text = _NO_TEXT.sub(" ", text)
    line = " ".join(text.split())
    return line if len(line) <= _MAX_SUMMARY else f"{line[: _MAX_SUMMARY - 1].rstrip()}…"


def _address(text: str) -> str:
    url = text.strip()
    if len(url) > _MAX_URL or not (match := _URL.fullmatch(url)):
        return ""
    return f"{match['scheme'].lower()}{match['rest']}"
