"""A stand-in for the parts of GitHub's API that a workflow asks, and for its identity tokens."""

from __future__ import annotations

import hashlib
import json
import re
import shutil
import tempfile
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from urllib.parse import unquote

from tests.support.faults import Answer, Request
from tests.support.loopback import Loopback
from tests.support.workflow.pages import Pages
from tests.support.workflow.stores import Artifact, Artifacts, Caches, files_below

REPOSITORY = "acme/channel"
BRANCH = "main"
JSON = {"Content-Type": "application/json"}
LEVELS = {"none": 0, "read": 1, "write": 2}


@dataclass
class Issue:
    """One issue."""

    number: int
    title: str
    body: str
    labels: list[str] = field(default_factory=list)
    state: str = "open"
    comments: list[str] = field(default_factory=list)
    author: str = "github-actions[bot]"


class Refused(Exception):  # noqa: N818 - an answer
    """What the API answers instead of what was asked."""

    def __init__(self, status: int, message: str) -> None:
        super().__init__(message)
        self.status = status


class GitHub(Loopback):
    """One repository, its issues, commits, caches, artifacts and Pages."""

    def __init__(self, root: Path, pages: Pages) -> None:
        super().__init__()
        self.pages = pages
        self.caches = Caches(root / "caches")
        self.artifacts = Artifacts(root / "artifacts")
        self.content = root / "content"
        self.content.mkdir(parents=True)
        self.issues: dict[int, Issue] = {}
        # Whether they can't be listed.
        self.issues_fail = False
        self.labels: set[str] = set()
        self.commits: dict[str, dict[str, Any]] = {}
        self.refs: dict[str, str] = {}
        self.writes: list[str] = []
        self.complaints: list[str] = []
        self.tokens: dict[str, Mapping[str, str]] = {}
        self.proofs: dict[str, str] = {}
        self.variables: dict[str, str] = {}
        self.secrets: dict[str, str] = {}
        self.runs = 0
        self.pages_are_on = True
        self.commit("The first")

    def commit(self, message: str) -> str:
        """Add a commit to the branch; runs that begin afterwards are of it."""
        ref = f"refs/heads/{BRANCH}"
        parents = [self.refs[ref]] if ref in self.refs else []
        self.refs[ref] = self._add_commit(message, self._tree(message), parents)
        return self.refs[ref]

    @property
    def sha(self) -> str:
        """The commit that the branch is at."""
        return self.refs[f"refs/heads/{BRANCH}"]

    def token(self, job: str, permissions: Mapping[str, str]) -> str:
        """A job's own token."""
        value = f"ghs_{hashlib.sha256(job.encode()).hexdigest()[:36]}"
        self.tokens[value] = permissions
        return value

    def proof_token(self, job: str) -> str:
        """What a job that may have an identity token asks for it with."""
        value = f"request-{hashlib.sha256(job.encode()).hexdigest()[:20]}"
        self.proofs[value] = f"oidc-{value}"
        return value

    def deploy(self, artifact: Artifact, version: str) -> int:
        """Ask Pages to deploy an artifact, and give the deployment's number."""
        files = files_below(artifact.folder, hidden=True)
        with tempfile.TemporaryDirectory() as folder:
            for inside, source in files.items():
                target = Path(folder, "tree", inside)
                target.parent.mkdir(parents=True, exist_ok=True)
                shutil.copyfile(source, target)
            return self.pages.deploy(Path(folder, "tree"), artifact.number, version).number

    def answer(self, request: Request) -> Answer:
        if request.path == "/-/complaint":
            self.complaints.append(request.body.decode())
            return Answer(204)
        try:
            body = json.loads(request.body or b"{}")
            status, value = self._answer(request, body)
        except Refused as refused:
            message = {"message": str(refused), "status": str(refused.status)}
            status, value = refused.status, message
        return Answer(status, JSON, b"" if status == 204 else json.dumps(value).encode())

    def _answer(self, request: Request, body: dict[str, Any]) -> tuple[int, Any]:
        if request.path == "/-/oidc":
            return 200, {"value": self._proof(request)}
        prefix = f"/repos/{REPOSITORY}/"
        for method, pattern, scope, level, handler in _ROUTES:
            match = re.fullmatch(pattern, request.path.removeprefix(prefix))
            if request.path.startswith(prefix) and method == request.method and match:
                self._allow(request, scope, level)
                if method != "GET":
                    self.writes.append(f"{method} {request.path.removeprefix(prefix)}")
                groups = [unquote(group) for group in match.groups()]
                about = request.query if method == "GET" else body
                answer: tuple[int, Any] = getattr(self, handler)(*groups, about)
                return answer
        self.complaints.append(f"the API has no {request.method} {request.path}")
        raise Refused(404, "Not Found")

    def _proof(self, request: Request) -> str:
        asked = request.headers.get("authorization", "").removeprefix("bearer ")
        asked = asked.removeprefix("Bearer ")
        if asked not in self.proofs:
            raise Refused(401, "no such token")
        return self.proofs[asked]

    def _allow(self, request: Request, scope: str, level: str) -> None:
        header = request.headers.get("authorization", "")
        token = header.split(" ", 1)[-1]
        if token not in self.tokens:
            raise Refused(401, "Bad credentials")
        if LEVELS[self.tokens[token].get(scope, "none")] < LEVELS[level]:
            raise Refused(403, "Resource not accessible by integration")

    # Git

    def _tree(self, of: str) -> str:
        return hashlib.sha1(f"tree {of}".encode()).hexdigest()  # noqa: S324 - as git has it

    def _add_commit(self, message: str, tree: str, parents: list[str]) -> str:
        for parent in parents:
            if parent not in self.commits:
                raise Refused(422, "Parent SHA does not exist or is not a commit object")
        seed = f"{message} {tree} {parents} {len(self.commits)}"
        sha = hashlib.sha1(seed.encode()).hexdigest()  # noqa: S324 - as git has it
        self.commits[sha] = {
            "sha": sha, "message": message, "tree": {"sha": tree},
            "parents": [{"sha": one} for one in parents],
        }  # fmt: skip
        return sha

    def _get_commit(self, sha: str, _: Any) -> tuple[int, Any]:
        if sha not in self.commits:
            raise Refused(404, "Not Found")
        return 200, self.commits[sha]

    def _get_any_commit(self, name: str, _: Any) -> tuple[int, Any]:
        sha = self.refs.get(f"refs/heads/{name}", name)
        if sha not in self.commits:
            raise Refused(422, f"No commit found for SHA: {name}")
        found = self.commits[sha]
        return 200, {"sha": sha, "commit": found, "parents": found["parents"]}

    def _post_commit(self, body: dict[str, Any]) -> tuple[int, Any]:
        trees = {one["tree"]["sha"] for one in self.commits.values()}
        if body.get("tree") not in trees:
            raise Refused(422, "Tree SHA does not exist")
        sha = self._add_commit(body["message"], body["tree"], body.get("parents", []))
        return 201, self.commits[sha]

    def _post_ref(self, body: dict[str, Any]) -> tuple[int, Any]:
        name, sha = body["ref"], body["sha"]
        if not name.startswith("refs/") or name.count("/") < 2:
            raise Refused(422, "Reference name must start with 'refs'")
        if name in self.refs:
            raise Refused(422, "Reference already exists")
        if sha not in self.commits:
            raise Refused(422, "Object does not exist")
        self.refs[name] = sha
        return 201, {"ref": name, "object": {"sha": sha}}

    def _get_ref(self, name: str, _: Any) -> tuple[int, Any]:
        if f"refs/{name}" not in self.refs:
            raise Refused(404, "Not Found")
        return 200, {"ref": f"refs/{name}", "object": {"sha": self.refs[f"refs/{name}"]}}

    def _patch_ref(self, name: str, body: dict[str, Any]) -> tuple[int, Any]:
        if f"refs/{name}" not in self.refs:
            raise Refused(422, "Reference does not exist")
        if body["sha"] not in self.commits:
            raise Refused(422, "Object does not exist")
        self.refs[f"refs/{name}"] = body["sha"]
        return 200, {"ref": f"refs/{name}", "object": {"sha": body["sha"]}}

    def _delete_ref(self, name: str, _: Any) -> tuple[int, Any]:
        if self.refs.pop(f"refs/{name}", None) is None:
            raise Refused(422, "Reference does not exist")
        return 204, None

    # Pages

    def _get_pages(self, _: Any) -> tuple[int, Any]:
        if not self.pages_are_on:
            raise Refused(404, "Not Found")
        return 200, {"html_url": f"{self.pages.base_url}/", "build_type": "workflow"}

    def _post_deployment(self, body: dict[str, Any]) -> tuple[int, Any]:
        if body.get("oidc_token") not in self.proofs.values():
            raise Refused(400, "Invalid OIDC token")
        version = body.get("pages_build_version", "")
        if version not in self.commits:
            raise Refused(404, "Not Found")
        if not isinstance(body.get("artifact_id"), int):
            raise Refused(422, "For 'properties/artifact_id', it is not a number.")
        artifact = self.artifacts.by_number(body["artifact_id"])
        if artifact is None:
            raise Refused(400, "No artifact of this number")
        number = self.deploy(artifact, version)
        url = f"{self.http}/repos/{REPOSITORY}/pages/deployments/{number}"
        return 200, {"id": number, "status_url": url, "page_url": f"{self.pages.base_url}/"}

    def _get_deployment(self, number: str, _: Any) -> tuple[int, Any]:
        if not number.isdigit() or not 1 <= int(number) <= len(self.pages.deployments):
            raise Refused(404, "Not Found")
        return 200, {"status": "deployment_failed" if self.pages.fails else "succeed"}

    # Issues

    def _list_issues(self, query: Mapping[str, str]) -> tuple[int, Any]:
        if self.issues_fail:
            raise Refused(502, "Bad Gateway")
        state, labels = query.get("state", "open"), query.get("labels", "")
        wanted = {label for label in labels.split(",") if label}
        found = [
            _shown(issue)
            for issue in sorted(self.issues.values(), key=lambda one: -one.number)
            if state in ("all", issue.state)
            and wanted <= set(issue.labels)
            and query.get("creator", issue.author) == issue.author
        ]
        return 200, found[: int(query.get("per_page", "30"))]

    def _get_issue(self, number: str, _: Any) -> tuple[int, Any]:
        return 200, _shown(self._issue(number))

    def _issue(self, number: str) -> Issue:
        if int(number) not in self.issues:
            raise Refused(404, "Not Found")
        return self.issues[int(number)]

    def _post_issue(self, body: dict[str, Any]) -> tuple[int, Any]:
        number = len(self.issues) + 1
        issue = Issue(number, body["title"], body.get("body", ""), list(body.get("labels", [])))
        if len(issue.body) > 65_536:
            raise Refused(422, "body is too long (maximum is 65536 characters)")
        # The API makes the labels that it is given; `gh issue create` refuses unknown ones.
        self.labels |= set(issue.labels)
        self.issues[number] = issue
        return 201, _shown(issue)

    def _patch_issue(self, number: str, body: dict[str, Any]) -> tuple[int, Any]:
        issue = self._issue(number)
        for key in body.keys() & {"title", "body", "state", "labels"}:
            setattr(issue, key, body[key])
        if unknown := body.keys() - {"title", "body", "state", "state_reason", "labels"}:
            self.complaints.append(f"an issue has no {unknown}")
        return 200, _shown(issue)

    def _post_comment(self, number: str, body: dict[str, Any]) -> tuple[int, Any]:
        self._issue(number).comments.append(body["body"])
        return 201, {"id": 1, "body": body["body"]}

    def _get_labels(self, _: Any) -> tuple[int, Any]:
        return 200, [{"name": name} for name in sorted(self.labels)]

    def _post_label(self, body: dict[str, Any]) -> tuple[int, Any]:
        if body["name"] in self.labels:
            raise Refused(422, "Validation Failed: already_exists")
        self.labels.add(body["name"])
        return 201, {"name": body["name"]}


def _shown(issue: Issue) -> dict[str, Any]:
    return {
        "number": issue.number,
        "title": issue.title,
        "body": issue.body,
        "state": issue.state,
        "labels": [{"name": name} for name in issue.labels],
        "user": {"login": issue.author},
        "html_url": f"https://github.com/{REPOSITORY}/issues/{issue.number}",
    }


# Method, path, the permission it takes, and the method that answers.
_ROUTES = [
    ("GET", r"git/commits/([^/]+)", "contents", "read", "_get_commit"),
    ("GET", r"commits/([^/]+)", "contents", "read", "_get_any_commit"),
    ("POST", r"git/commits", "contents", "write", "_post_commit"),
    ("POST", r"git/refs", "contents", "write", "_post_ref"),
    ("GET", r"git/ref/(.+)", "contents", "read", "_get_ref"),
    ("PATCH", r"git/refs/(.+)", "contents", "write", "_patch_ref"),
    ("DELETE", r"git/refs/(.+)", "contents", "write", "_delete_ref"),
    ("GET", r"pages", "pages", "read", "_get_pages"),
    ("POST", r"pages/deployments", "pages", "write", "_post_deployment"),
    ("GET", r"pages/deployments/([^/]+)", "pages", "read", "_get_deployment"),
    ("GET", r"issues", "issues", "read", "_list_issues"),
    ("GET", r"issues/(\d+)", "issues", "read", "_get_issue"),
    ("POST", r"issues", "issues", "write", "_post_issue"),
    ("PATCH", r"issues/(\d+)", "issues", "write", "_patch_issue"),
    ("POST", r"issues/(\d+)/comments", "issues", "write", "_post_comment"),
    ("GET", r"labels", "issues", "read", "_get_labels"),
    ("POST", r"labels", "issues", "write", "_post_label"),
]
