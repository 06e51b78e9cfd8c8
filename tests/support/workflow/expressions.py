"""Evaluates GitHub's `${{ }}` expressions.

A context that isn't there, and a name that a `Known` context lacks, raise; GitHub would go on with
an empty string.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

from tests.support.workflow.values import (
    FUNCTIONS,
    STATUS,
    HarnessError,
    Known,
    equal,
    less,
    text,
    truth,
)

_TOKEN = re.compile(
    r"""\s*(?:
        (?P<string>'(?:[^']|'')*')
      | (?P<number>-?(?:0x[0-9a-fA-F]+|\d+(?:\.\d+)?(?:[eE][-+]?\d+)?))
      | (?P<name>[A-Za-z_][A-Za-z0-9_-]*)
      | (?P<sign>\|\||&&|==|!=|<=|>=|[<>!()\[\].,*])
    )""",
    re.VERBOSE,
)
_LITERALS = {"true": True, "false": False, "null": None}
_HOLE = re.compile(r"\$\{\{((?:[^'}]|'(?:[^']|'')*'|\}(?!\}))*)\}\}")


@dataclass(frozen=True)
class Scope:
    """What an expression may name: contexts, and the functions that tell how things went."""

    contexts: Mapping[str, Any]
    status: Mapping[str, Callable[[], bool]] = field(default_factory=dict)

    def evaluate(self, source: str) -> Any:
        """The value of an expression, without its `${{ }}`. Raises HarnessError."""
        return _Parser(source, self).whole()

    def value(self, source: Any) -> Any:
        """What a YAML value comes to: typed, where all of it is one expression."""
        if not isinstance(source, str):
            return source
        if match := _HOLE.fullmatch(source.strip()):
            return self.evaluate(match[1])
        return self.string(source)

    def string(self, source: Any) -> str:
        """What a YAML value comes to as a string."""
        if not isinstance(source, str):
            return text(source)
        filled = _HOLE.sub(lambda found: text(self.evaluate(found[1])), source)
        if "${{" in _HOLE.sub("", source):
            raise HarnessError(f"an expression that doesn't end: {source!r}")
        return filled

    def condition(self, source: Any) -> bool:
        """Whether an `if` holds; without a status function in it, success() is meant besides."""
        if source is None:
            return self.status["success"]()
        inner = text(source).strip()
        if match := _HOLE.fullmatch(inner):
            inner = match[1]
        elif "${{" in inner:
            # GitHub takes the whole for a string then, which is always true.
            raise HarnessError(f"an `if` that mixes text and expressions: {source!r}")
        if not asks_status(inner):
            inner = f"success() && ({inner})"
        return truth(self.evaluate(inner))


def asks_status(source: str) -> bool:
    """Whether an expression calls a status function itself."""
    names = [match for match in _TOKEN.finditer(source) if match["name"]]
    return any(
        match["name"].lower() in STATUS and source[match.end() :].lstrip().startswith("(")
        for match in names
    )


class _Parser:
    """By descent, one method a level; it evaluates both sides, since nothing has an effect."""

    def __init__(self, source: str, scope: Scope) -> None:
        self.source = source
        self.scope = scope
        self.tokens = self._split(source)
        self.at = 0

    def _split(self, source: str) -> list[tuple[str, str]]:
        tokens, position = [], 0
        while source[position:].strip():
            match = _TOKEN.match(source, position)
            if match is None:
                raise self._wrong(f"what is {source[position : position + 10]!r}")
            tokens.append((str(match.lastgroup), match[str(match.lastgroup)]))
            position = match.end()
        return tokens

    def _wrong(self, what: str) -> HarnessError:
        return HarnessError(f"{what}, in the expression {self.source.strip()!r}")

    def _peek(self) -> str:
        kind, word = self.tokens[self.at] if self.at < len(self.tokens) else ("", "")
        return word if kind == "sign" else ""

    def _take(self, *signs: str) -> str:
        sign = self._peek()
        if not sign or sign not in signs:
            return ""
        self.at += 1
        return sign

    def _need(self, sign: str) -> None:
        if not self._take(sign):
            raise self._wrong(f"{sign!r} is missing")

    def whole(self) -> Any:
        value = self._any()
        if self.at < len(self.tokens):
            raise self._wrong(f"{self.tokens[self.at][1]!r} is too much")
        return value

    def _any(self) -> Any:
        value = self._all()
        while self._take("||"):
            other = self._all()
            value = value if truth(value) else other
        return value

    def _all(self) -> Any:
        value = self._equality()
        while self._take("&&"):
            other = self._equality()
            value = other if truth(value) else value
        return value

    def _equality(self) -> Any:
        value = self._order()
        while sign := self._take("==", "!="):
            value = equal(value, self._order()) == (sign == "==")
        return value

    def _order(self) -> Any:
        value = self._unary()
        while sign := self._take("<", "<=", ">", ">="):
            other = self._unary()
            same = sign in ("<=", ">=") and equal(value, other)
            value = same or (less(value, other) if sign[0] == "<" else less(other, value))
        return value

    def _unary(self) -> Any:
        if self._take("!"):
            return not truth(self._unary())
        return self._reached()

    def _reached(self) -> Any:
        value, name = self._primary()
        while sign := self._take(".", "["):
            key, literal = self._key(sign)
            value = self._into(value, key, f"{name}.{key}", literal=literal)
            name = f"{name}.{key}"
        return value

    def _key(self, sign: str) -> tuple[Any, bool]:
        if sign == "[":
            key = self._any()
            self._need("]")
            return key, isinstance(key, str)
        if self.at >= len(self.tokens) or self.tokens[self.at][0] != "name":
            raise self._wrong("a name is missing after a dot (filters by * aren't known here)")
        self.at += 1
        return self.tokens[self.at - 1][1], True

    def _into(self, value: Any, key: Any, name: str, *, literal: bool) -> Any:
        if isinstance(value, Known) and key not in value:
            raise self._wrong(f"there is no {name} here, but {', '.join(value) or 'nothing'}")
        if isinstance(value, Mapping) and literal:
            return value.get(key)
        if isinstance(value, list) and not literal:
            position = int(key)
            return value[position] if 0 <= position < len(value) else None
        return None

    def _primary(self) -> tuple[Any, str]:
        if self._take("("):
            value = self._any()
            self._need(")")
            return value, "(…)"
        if self.at >= len(self.tokens):
            raise self._wrong("something is missing at the end")
        kind, word = self.tokens[self.at]
        self.at += 1
        if kind == "string":
            return word[1:-1].replace("''", "'"), word
        if kind == "number":
            return float(int(word, 16)) if "0x" in word else float(word), word
        if kind != "name":
            raise self._wrong(f"{word!r} where a value should be")
        if self._take("("):
            return self._call(word), f"{word}()"
        if word in _LITERALS:
            return _LITERALS[word], word
        if word not in self.scope.contexts:
            known = ", ".join(self.scope.contexts)
            raise self._wrong(f"{word!r} can't be named here, only {known}")
        return self.scope.contexts[word], word

    def _call(self, name: str) -> Any:
        arguments = []
        while not self._take(")"):
            arguments.append(self._any())
            if self._peek() != ")":
                self._need(",")
        if name.lower() in STATUS:
            if arguments or name.lower() not in self.scope.status:
                raise self._wrong(f"{name}() can't be called here")
            return self.scope.status[name.lower()]()
        function = FUNCTIONS.get(name.lower())
        if function is None:
            raise self._wrong(f"the harness doesn't know the function {name}()")
        return function(*arguments)
