"""What stands in for GitHub's services has the traps of the real ones."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import pytest
import requests

from tests.support.workflow.actions import Place, use
from tests.support.workflow.github import GitHub
from tests.support.workflow.pages import Serving
from tests.support.workflow.stores import ActionFailed
from tests.support.workflow.values import HarnessError

PIN = "@3d3c42e5aac5ba805825da76410c181273ba90b1"
ALL = {"contents": "write", "pages": "write", "id-token": "write"}


@pytest.fixture
def place(github: GitHub, tmp_path: Path) -> Place:
    for name in ("work", "home"):
        (tmp_path / name).mkdir()
    paths = (tmp_path / "work", tmp_path / "home")
    return Place(github, 1, github.sha, *paths, ALL, "github-pages")


def act(place: Place, action: str, **inputs: str) -> Mapping[str, str]:
    given = {name.replace("_", "-"): value for name, value in inputs.items()}
    if "artifact-name" in given:
        given["artifact_name"] = given.pop("artifact-name")
    return use(f"actions/{action}{PIN}", given, place)


def write(place: Place, *paths: str) -> None:
    for path in paths:
        place.at(path).parent.mkdir(parents=True, exist_ok=True)
        place.at(path).write_text(path)


def names(folder: Path) -> list[str]:
    found = (path for path in folder.rglob("*") if path.is_file())
    return sorted(path.relative_to(folder).as_posix() for path in found)


def test_a_cache_is_found_by_its_key_or_the_newest_that_begins_so(place: Place) -> None:
    for key in ("state/1", "state/2", "other/3"):
        write(place, "data/file")
        place.at("data/file").write_text(key)
        act(place, "cache/save", path="data", key=key)
    # A key is written once.
    place.at("data/file").write_text("again")
    act(place, "cache/save", path="data", key="state/2")
    wanted = {"path": "data", "key": "state/4"}
    found = act(place, "cache/restore", **wanted, restore_keys="none/\nstate/")
    assert (found["cache-matched-key"], found["cache-hit"]) == ("state/2", "false")
    assert place.at("data/file").read_text() == "state/2"
    assert act(place, "cache/restore", path="data", key="state/1")["cache-hit"] == "true"
    assert "cache-hit" not in act(place, "cache/restore", **wanted)


def test_a_cache_of_other_paths_is_another_cache(place: Place) -> None:
    write(place, "data/file")
    act(place, "cache/save", path="data", key="key")
    found = act(place, "cache/restore", path="data\nmore", key="key")
    assert found["cache-matched-key"] == ""


def test_hidden_files_and_empty_folders_are_not_uploaded(place: Place) -> None:
    write(place, "part/.hidden/one", "part/two")
    place.at("part/empty").mkdir()
    act(place, "upload-artifact", name="part", path="part")
    act(place, "download-artifact", name="part", path="there")
    assert names(place.at("there")) == ["two"]
    assert not place.at("there/empty").exists()
    act(place, "upload-artifact", name="all", path="part", include_hidden_files="true")
    act(place, "download-artifact", name="all", path="all")
    assert names(place.at("all")) == [".hidden/one", "two"]


def test_artifacts_by_pattern_have_folders_unless_merged(place: Place) -> None:
    for one in ("a", "b"):
        write(place, f"{one}/file-{one}")
        act(place, "upload-artifact", name=f"part-{one}", path=one)
    act(place, "download-artifact", pattern="part-*", path="apart")
    assert names(place.at("apart")) == ["part-a/file-a", "part-b/file-b"]
    act(place, "download-artifact", pattern="part-*", path="merged", merge_multiple="true")
    assert names(place.at("merged")) == ["file-a", "file-b"]


def test_an_artifact_of_a_name_is_uploaded_once(place: Place) -> None:
    write(place, "a/file")
    act(place, "upload-artifact", name="one", path="a")
    with pytest.raises(ActionFailed, match="409"):
        act(place, "upload-artifact", name="one", path="a")
    act(place, "upload-artifact", name="one", path="a", overwrite="true")
    with pytest.raises(ActionFailed, match="not valid"):
        act(place, "upload-artifact", name="a/b", path="a")


def test_another_run_has_no_artifacts_of_this_one(place: Place) -> None:
    write(place, "a/file")
    act(place, "upload-artifact", name="one", path="a")
    place.run = 2
    with pytest.raises(ActionFailed, match="not found"):
        act(place, "download-artifact", name="one", path="there")


def test_pages_takes_no_links(place: Place) -> None:
    write(place, "site/a")
    place.at("site/b").hardlink_to(place.at("site/a"))
    with pytest.raises(HarnessError, match="links"):
        act(place, "upload-pages-artifact", path="site")


def deployed(place: Place, name: str) -> None:
    write(place, f"{name}/index.html", f"{name}/.dot")
    place.at(f"{name}/index.html").write_text(name)
    act(place, "upload-pages-artifact", path=name, name=name)
    act(place, "deploy-pages", artifact_name=name)


def served(place: Place, path: str = "/") -> str:
    answer = requests.get(place.github.pages.base_url + path, timeout=10)
    return answer.text if answer.status_code == 200 else str(answer.status_code)


def test_a_deployment_is_served(place: Place) -> None:
    assert served(place) == "404"
    deployed(place, "one")
    deployed(place, "two")
    assert served(place) == "two"
    assert served(place, "/.dot") == "404"
    assert served(place, "/../1/index.html") == "404"


def test_one_of_the_same_commit_can_be_reported_and_not_served(place: Place) -> None:
    place.github.pages.serving = Serving.NEW_COMMITS
    deployed(place, "one")
    deployed(place, "two")
    assert served(place) == "one"
    place.sha = place.github.commit("Another")
    deployed(place, "three")
    assert served(place) == "three"


def test_copies_are_held_by_path_and_query(place: Place) -> None:
    place.github.pages.copies.on = True
    deployed(place, "one")
    assert served(place) == "one"
    deployed(place, "two")
    assert served(place) == "one"
    assert served(place, "/?fresh=1") == "two"


def test_a_deployment_takes_permissions_an_environment_and_its_artifact(place: Place) -> None:
    with pytest.raises(ActionFailed, match="No artifacts"):
        act(place, "deploy-pages")
    place.environment = ""
    with pytest.raises(ActionFailed, match="environment"):
        act(place, "deploy-pages")
    place.permissions = {"pages": "write"}
    with pytest.raises(ActionFailed, match="id-token"):
        act(place, "deploy-pages")


def test_the_api_takes_commits_that_there_are(github: GitHub) -> None:
    token = github.token("job", ALL)
    proof = github.proof_token("job")

    def ask(method: str, path: str, **body: object) -> requests.Response:
        address = f"{github.http}/repos/acme/channel/{path}"
        head = {"Authorization": f"token {token}"}
        return requests.request(method, address, json=body or None, headers=head, timeout=10)

    given = requests.get(
        f"{github.http}/-/oidc", headers={"Authorization": f"Bearer {proof}"}, timeout=10
    ).json()["value"]
    wanted = {"artifact_id": 1, "pages_build_version": "0" * 40, "oidc_token": given}
    assert ask("POST", "pages/deployments", **wanted).status_code == 404
    wanted["pages_build_version"] = github.sha
    assert ask("POST", "pages/deployments", **wanted).status_code == 400  # no artifact
    tree = ask("GET", f"git/commits/{github.sha}").json()["tree"]["sha"]
    commit = {"message": "M", "tree": tree, "parents": [github.sha]}
    made = ask("POST", "git/commits", **commit)
    assert made.status_code == 201
    assert ask("POST", "git/commits", **(commit | {"tree": "0" * 40})).status_code == 422
    ref = {"ref": "refs/heads/x", "sha": made.json()["sha"]}
    assert ask("PATCH", "git/refs/heads/x", sha=ref["sha"]).status_code == 422
    assert ask("POST", "git/refs", **ref).status_code == 201
    assert ask("POST", "git/refs", **ref).status_code == 422
    assert ask("PATCH", "git/refs/heads/x", sha=github.sha).status_code == 200
    assert ask("GET", "issues").status_code == 403


def test_a_request_that_nothing_stands_in_for_is_complained_of(github: GitHub) -> None:
    requests.get(f"{github.http}/repos/acme/channel/actions/runs", timeout=10)
    assert github.complaints == ["the API has no GET /repos/acme/channel/actions/runs"]
