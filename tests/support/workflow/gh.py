"""A stand-in for the program `gh`, asking the stand-in for GitHub's API.

Run as a script by the steps of a workflow. What it doesn't know, it complains of to the test.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import urllib.error
import urllib.request
from pathlib import Path
from typing import Any, NoReturn
from urllib.parse import urlencode

API = os.environ.get("GITHUB_API_URL", "")
SHORT = {"-X": "--method", "-f": "--raw-field", "-F": "--field", "-q": "--jq", "-H": "--header"}
TAKES_VALUE = {
    "api": {"--method", "--raw-field", "--field", "--jq", "--header"},
    "issue list": {"--label", "--state", "--limit", "--json", "--jq", "--author"},
    "issue view": {"--json", "--jq"},
    "issue create": {"--title", "--label", "--body-file", "--body"},
    "issue edit": {"--body-file", "--body", "--title"},
    "issue comment": {"--body", "--body-file"},
    "issue close": {"--comment", "--reason"},
    "label create": {"--color", "--description"},
}
SWITCHES = {"api": {"--silent"}, "label create": {"--force"}}
Options = dict[str, list[str]]


def unknown(what: str) -> NoReturn:
    """Tell the test that the stand-in can't do this."""
    body = f"gh: {what}".encode()
    urllib.request.urlopen(urllib.request.Request(f"{API}/-/complaint", body), timeout=30).close()
    sys.exit(f"the stand-in for gh doesn't know: {what}")


def ask(method: str, path: str, body: Any = None) -> tuple[int, str]:
    """One request: its status and what came."""
    token = os.environ["GH_TOKEN"]
    request = urllib.request.Request(
        f"{API}/{path.lstrip('/')}",
        None if body is None else json.dumps(body).encode(),
        {"Authorization": f"token {token}"},
        method=method,
    )
    try:
        with urllib.request.urlopen(request, timeout=30) as answer:
            return answer.status, answer.read().decode()
    except urllib.error.HTTPError as error:
        with error:
            return error.code, error.read().decode()


def must(method: str, path: str, body: Any = None) -> Any:
    """The JSON of an answer; an error ends the program as it does gh."""
    status, text = ask(method, path, body)
    if status >= 400:
        sys.exit(f"gh: {json.loads(text)['message']} (HTTP {status})")
    return json.loads(text) if text else None


def show(value: Any, options: Options) -> None:
    """Print as JSON, through jq where that was asked for."""
    text = json.dumps(value)
    if jq := options.get("--jq"):
        done = subprocess.run(
            ["jq", "-r", jq[-1]], input=text, text=True, stdout=subprocess.PIPE, check=True
        )
        text = done.stdout.rstrip("\n")
    if text:
        print(text)


def split(command: str, words: list[str]) -> tuple[list[str], Options]:
    """The arguments of a command, and its options; a switch has no value."""
    arguments: list[str] = []
    options: Options = {}
    rest = iter(words)
    for word in rest:
        name, _, inline = word.partition("=")
        name = SHORT.get(name, name)
        if not word.startswith("-"):
            arguments.append(word)
        elif name in TAKES_VALUE[command]:
            options.setdefault(name, []).append(inline or next(rest))
        elif word in SWITCHES.get(command, ()):
            options[word] = []
        else:
            unknown(f"{command} {word}")
    return arguments, options


def typed(text: str) -> Any:
    """What --field makes of a value."""
    if text in {"true", "false", "null"} or text.removeprefix("-").isdigit():
        return json.loads(text)
    if text.startswith(("@", "{")):
        unknown(f"a field of {text}")
    return text


def fields(options: Options) -> dict[str, Any]:
    """The body that --field and --raw-field make; `key[]` is a list's member."""
    body: dict[str, Any] = {}
    for option in ("--raw-field", "--field"):
        for setting in options.get(option, []):
            key, _, value = setting.partition("=")
            made = typed(value) if option == "--field" else value
            if key.endswith("[]"):
                body.setdefault(key[:-2], []).append(made)
            elif "[" in key:
                unknown(f"the field {key}")
            else:
                body[key] = made
    return body


def api(words: list[str]) -> None:
    """Ask any address of the API."""
    (path,), options = split("api", words)
    if "{" in path:
        unknown(f"a placeholder in {path}")
    body = fields(options)
    method = options.get("--method", ["POST" if body else "GET"])[-1]
    if method == "GET" and body:
        path, body = f"{path}?{urlencode(body)}", {}
    status, text = ask(method, path, body or None)
    if "--silent" not in options and text:
        if status < 400:
            show(json.loads(text), options)
        else:
            print(text)
    if status >= 400:
        sys.exit(f"gh: {json.loads(text)['message']} (HTTP {status})")


def body_of(options: Options) -> str | None:
    """The text that an issue or a comment is given."""
    if files := options.get("--body-file"):
        return sys.stdin.read() if files[-1] == "-" else Path(files[-1]).read_text("utf-8")
    return options["--body"][-1] if "--body" in options else None


def picked(value: Any, options: Options) -> Any:
    """The fields that --json names."""
    if "--json" not in options:
        unknown("output for people")
    names = options["--json"][-1].split(",")
    if isinstance(value, list):
        return [picked(one, options) for one in value]
    if missing := [name for name in names if name not in value]:
        unknown(f"the fields {missing}")
    return {name: value[name] for name in names}


def issue(action: str, words: list[str], base: str) -> None:
    """The commands on issues."""
    arguments, options = split(f"issue {action}", words)
    address = f"{base}/issues/{arguments[0]}" if arguments else f"{base}/issues"
    if action == "list":
        query = {"state": options.get("--state", ["open"])[-1]}
        query["labels"] = ",".join(options.get("--label", []))
        query["per_page"] = options.get("--limit", ["30"])[-1]
        if authors := options.get("--author"):
            query["creator"] = authors[-1].replace("app/github-actions", "github-actions[bot]")
        show(picked(must("GET", f"{address}?{urlencode(query)}"), options), options)
    elif action == "view":
        show(picked(must("GET", address), options), options)
    elif action == "create":
        create(address, options, base)
    elif action == "edit":
        changes = {"body": body_of(options), "title": options.get("--title", [None])[-1]}
        changed = must("PATCH", address, {key: value for key, value in changes.items() if value})
        print(changed["html_url"])
    elif action == "comment":
        must("POST", f"{address}/comments", {"body": body_of(options)})
    else:
        if comments := options.get("--comment"):
            must("POST", f"{address}/comments", {"body": comments[-1]})
        must("PATCH", address, {"state": "closed"})


def create(address: str, options: Options, base: str) -> None:
    """Open an issue; unlike the API, gh refuses a label that isn't there."""
    labels = options.get("--label", [])
    known = {label["name"] for label in must("GET", f"{base}/labels")}
    for label in labels:
        if label not in known:
            sys.exit(f"could not add label: '{label}' not found")
    body = {"title": options["--title"][-1], "body": body_of(options), "labels": labels}
    print(must("POST", address, body)["html_url"])


def label_create(words: list[str], base: str) -> None:
    """Make a label; with --force it may be there."""
    (name,), options = split("label create", words)
    status, text = ask("POST", f"{base}/labels", {"name": name})
    if status == 422 and "--force" in options:
        return
    if status >= 400:
        sys.exit(f"gh: {json.loads(text)['message']} (HTTP {status})")


def main(words: list[str]) -> None:
    """The command line."""
    if not os.environ.get("GH_TOKEN"):
        sys.exit(
            "gh: To use GitHub CLI in a GitHub Actions workflow, set the GH_TOKEN environment "
            "variable."
        )
    if words[0] == "api":
        api(words[1:])
        return
    command = " ".join(words[:2])
    if command not in TAKES_VALUE:
        unknown(command)
    repository = os.environ.get("GH_REPO")
    if not repository:
        sys.exit("failed to run git: fatal: not a git repository")
    base = f"repos/{repository}"
    if words[0] == "issue":
        issue(words[1], words[2:], base)
    else:
        label_create(words[2:], base)


if __name__ == "__main__":
    main(sys.argv[1:])
