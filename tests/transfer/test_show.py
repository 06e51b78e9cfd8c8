"""Show, as a person calls it: one package of a registry, whatever strangers put into it."""

from __future__ import annotations

import gzip
import io
import json
import os
import pty
import subprocess
import sys
import tarfile
import threading
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner, Result

from demo.layers import INFO, Image, digest_of, package_manifest
from demo.packages import Package, build
from indexer.cli import main
from indexer.transfer import package as package_module
from tests.support import faults
from tests.support.rig import Rig

ZLIB = build("zlib", "1.2", "h0", subdir="linux-64", depends=["libc >=2"])
ZLIB_BZ2 = build("zlib", "1.2", "h0", subdir="linux-64", archive="tar.bz2")
EPOCH = build("renumbered", "1!0.9+x.1", "0")
SWITCH = build("_switch", build="on")


@pytest.fixture
def full(rig: Rig) -> Rig:
    rig.push(ZLIB_BZ2, ZLIB)
    rig.push(build("zlib", "1.3", "h0", subdir="linux-64"), validated=False)
    rig.push(build("zlib", "1.2", "h0", subdir="osx-64"))
    rig.push(EPOCH)
    rig.push(SWITCH)
    return rig


def arguments(rig: Rig, *words: str) -> list[str]:
    registry = f"oci+{rig.fake.http}/acme"
    return ["show", *words, "--registry", registry, "--channel", "forge", "--retry-for", "0.1"]


def show(rig: Rig, *words: str) -> Result:
    done = CliRunner().invoke(main, arguments(rig, *words))
    assert done.exception is None or isinstance(done.exception, SystemExit), done.exception
    return done


def output(rig: Rig, *words: str) -> str:
    done = show(rig, *words)
    assert (done.exit_code, done.stderr) == (0, "")
    return done.stdout


def test_without_a_tag_the_tags_of_all_subdirs_are_shown(full: Rig) -> None:
    full.fake.add_manifest(
        full.repository("linux-64", "zlib"), f"sha256-{'0' * 64}", b"{}", "application/json"
    )
    assert output(full, "zlib").splitlines() == [
        "linux-64/zlib:1.2-h0",
        "linux-64/zlib:1.3-h0",
        "osx-64/zlib:1.2-h0",
    ]
    assert output(full, "osx-64/zlib") == output(full, "zlib", "--subdir", "osx-64")
    assert output(full, "_switch") == "noarch/_switch:1.0-on\n"


def test_a_tag_in_several_subdirs_is_ambiguous_and_says_so(full: Rig) -> None:
    done = show(full, "zlib:1.2-h0", "--index")
    assert done.exit_code == 2
    assert "is in linux-64, osx-64: say which, as SUBDIR/zlib:1.2-h0" in done.stderr
    assert json.loads(output(full, "osx-64/zlib:1.2-h0", "--index"))["subdir"] == "osx-64"
    assert json.loads(output(full, "zlib:1.3-h0", "--index"))["version"] == "1.3"


@pytest.mark.parametrize("tag", ["1!0.9+x.1-0", "1__e__0.9__p__x.1-0"])
def test_a_build_may_be_spelt_as_conda_or_the_registry_has_it(full: Rig, tag: str) -> None:
    assert json.loads(output(full, f"renumbered:{tag}", "--index")) == EPOCH.index


def test_a_build_is_shown_with_its_archives_and_its_mark(full: Rig) -> None:
    lines = output(full, "linux-64/zlib:1.2-h0").splitlines()
    assert lines[0].endswith("/acme/forge/linux-64/zlib:1.2-h0")
    assert lines[2:] == [
        f"zlib-1.2-h0.conda sha256:{ZLIB.sha256} {ZLIB.size} bytes",
        f"zlib-1.2-h0.tar.bz2 sha256:{ZLIB_BZ2.sha256} {ZLIB_BZ2.size} bytes",
        "org.conda-forge.status: validated",
    ]


def test_to_a_program_everything_is_given_as_it_is(full: Rig) -> None:
    done = show(full, "linux-64/zlib:1.2-h0", "--index")
    assert done.stdout_bytes == ZLIB.index_json
    manifest = package_manifest([ZLIB_BZ2, ZLIB], annotations={"org.conda-forge.status": "v"})
    shown = json.loads(output(full, "linux-64/zlib:1.2-h0", "--manifest"))
    assert shown["layers"] == json.loads(manifest.manifest)["layers"]
    about = json.loads(output(full, "_switch:1.0-on", "--info", "about.json"))
    assert about["summary"] == "A demonstration package called _switch"
    assert [line.split()[1] for line in output(full, "_switch:1.0-on", "--info").splitlines()] == [
        "about.json",
        "files",
        "index.json",
        "paths.json",
    ]


def test_the_paths_are_those_of_paths_json_or_of_files(full: Rig) -> None:
    expected = ["bin/_switch", "share/_switch/id.txt"]
    assert output(full, "_switch:1.0-on", "--files").splitlines() == expected
    put_info(full, {"files": b"from/files\n", "index.json": b"{}"})
    assert output(full, "_switch:1.0-on", "--files").splitlines() == ["from/files"]


@pytest.mark.parametrize(
    ("words", "sentence"),
    [
        (["absent"], "has no package absent in any known subdir."),
        (["linux-64/_switch"], "has no package _switch in linux-64"),
        (["zlib:9-9"], "There is no zlib:9-9 in any known subdir."),
        (["_switch:1.0-on", "--info", "absent.txt"], "has no absent.txt in its info folder"),
        (["_switch:1.0-on", "--info", "../index.json"], "has no ../index.json"),
    ],
    ids=str,
)
def test_what_is_not_there_exits_3_with_a_sentence(
    full: Rig, words: list[str], sentence: str
) -> None:
    done = show(full, *words)
    assert (done.exit_code, done.stdout) == (3, "")
    assert sentence in done.stderr
    assert len(done.stderr.splitlines()) == 1


@pytest.mark.parametrize("status", [401, 403])
@pytest.mark.parametrize("words", [["absent"], ["absent:1-0", "--index"]], ids=str)
def test_a_refusal_is_not_told_as_absence(full: Rig, words: list[str], status: int) -> None:
    full.fake.knobs.faults = [faults.status(status)]
    done = show(full, *words)
    assert (done.exit_code, done.stdout) == (3, "")
    assert f"answered {status}; no credentials are known" in done.stderr
    assert "There is no" not in done.stderr


@pytest.mark.parametrize("status", [401, 403])
def test_a_refusal_elsewhere_hides_nothing_that_is_found(full: Rig, status: int) -> None:
    full.fake.knobs.faults = [
        faults.status(status, match=lambda request: "/linux-64/" not in request.path)
    ]
    assert output(full, "zlib").splitlines() == ["linux-64/zlib:1.2-h0", "linux-64/zlib:1.3-h0"]
    assert json.loads(output(full, "zlib:1.2-h0", "--index"))["subdir"] == "linux-64"


def test_many_subdirs_are_looked_at_together(full: Rig, monkeypatch: pytest.MonkeyPatch) -> None:
    together = threading.Barrier(8)
    first = iter(range(8))
    ask = package_module.Package.tags

    def tags(package: package_module.Package) -> list[str]:
        if next(first, None) is not None:
            together.wait(20)
        return ask(package)

    monkeypatch.setattr(package_module.Package, "tags", tags)
    assert len(output(full, "zlib").splitlines()) == 3


@pytest.mark.parametrize(
    ("words", "sentence"),
    [
        (["zlib", "--index"], "Which build of zlib?"),
        (["zlib:1.3-h0", "--index", "--files"], "Say one of"),
        (["../zlib"], "is not a subdir"),
        (["linux-64/"], "names no package"),
        (["zlib:a b"], "can't be a tag"),
        (["ZLIB"], "can't be a package"),
        (["a/../b:1-0"], "is not a subdir"),
    ],
    ids=str,
)
def test_wrong_use_exits_2_and_says_what_is_right(
    full: Rig, words: list[str], sentence: str
) -> None:
    done = show(full, *words)
    assert done.exit_code == 2
    assert sentence in done.stderr


def test_saving_prefers_conda_and_says_where(full: Rig, tmp_path: Path) -> None:
    folder = tmp_path / "saved"
    folder.mkdir()
    path = folder / "zlib-1.2-h0.conda"
    assert output(full, "linux-64/zlib:1.2-h0", "--save", str(folder)) == f"{path}\n"
    assert [item.name for item in folder.iterdir()] == [path.name]
    assert path.read_bytes() == ZLIB.data
    # Once more it is there already.
    full.fake.clear_requests()
    output(full, "linux-64/zlib:1.2-h0", "--save", str(path))
    assert f"sha256:{ZLIB.sha256}" not in {request.reference for request in full.fake.requests}


def test_saving_replaces_nothing_else(full: Rig, tmp_path: Path) -> None:
    path = tmp_path / "zlib-1.2-h0.conda"
    path.write_bytes(b"precious")
    for target in (path, tmp_path):
        done = show(full, "linux-64/zlib:1.2-h0", "--save", str(target))
        assert done.exit_code == 2
        assert "is something else" in done.stderr
    assert path.read_bytes() == b"precious"
    assert show(full, "_switch:1.0-on", "--save", str(tmp_path / "no/such/file")).exit_code == 2


def test_wrong_bytes_are_not_saved(full: Rig, tmp_path: Path) -> None:
    digest = f"sha256:{ZLIB.sha256}"
    full.fake.knobs.faults = [faults.tampered(match=faults.is_blob(digest=digest))]
    done = show(full, "linux-64/zlib:1.2-h0", "--save", str(tmp_path))
    assert done.exit_code != 0
    assert digest in done.stderr
    assert not (tmp_path / "zlib-1.2-h0.conda").exists()


@pytest.mark.parametrize("title", ["../evil-1.0-0.conda", "/evil.conda", "other-1.0-0.conda"])
def test_a_hostile_title_is_no_place_to_save_to(rig: Rig, tmp_path: Path, title: str) -> None:
    evil = build("evil")
    rig.push(evil)
    change_layers(rig, evil, lambda layers: layers[0]["annotations"].update({TITLE: title}))
    folder = tmp_path / "folder"
    folder.mkdir()
    done = show(rig, "evil:1.0-0", "--save", str(folder))
    assert done.exit_code != 0
    assert "makes it evil-1.0-0" in done.stderr
    assert list(folder.iterdir()) == []
    assert not list(tmp_path.glob("*.conda"))


TITLE = "org.opencontainers.image.title"


def change_layers(rig: Rig, package: Package, change: Any) -> None:
    image = package_manifest([package])
    manifest = json.loads(image.manifest)
    change(manifest["layers"])
    body = json.dumps(manifest).encode()
    repository = rig.repository(package.subdir, image.repository_name)
    rig.fake.add_manifest(repository, image.tag, body, image.media_type)


def put_info(rig: Rig, files: dict[str, bytes], package: Package = SWITCH) -> None:
    """Give a package another info layer."""
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w:gz") as archive:
        for name, content in files.items():
            member = tarfile.TarInfo(name)
            member.size = len(content)
            archive.addfile(member, io.BytesIO(content))
    put_info_layer(rig, buffer.getvalue(), package)


def put_info_layer(rig: Rig, data: bytes, package: Package = SWITCH) -> None:
    def change(layers: list[dict[str, Any]]) -> None:
        layer = next(item for item in layers if item["mediaType"] == INFO)
        layer |= {"digest": digest_of(data), "size": len(data)}

    rig.fake.add_blob(rig.repository(package.subdir, image_name(package)), data)
    change_layers(rig, package, change)


def image_name(package: Package) -> str:
    image: Image = package_manifest([package])
    return image.repository_name


@pytest.mark.parametrize("name", ["../../etc/passwd", "/etc/passwd", "info/../../x"])
def test_an_info_layer_whose_paths_lead_out_is_refused(full: Rig, name: str) -> None:
    put_info(full, {name: b"root"})
    for words in (["--info"], ["--info", name]):
        done = show(full, "_switch:1.0-on", *words)
        assert done.exit_code != 0
        assert "leads out" in done.stderr


def test_a_member_too_large_for_anybody_to_read_is_refused(
    full: Rig, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(package_module, "_MAX_MEMBER", 1000)
    put_info(full, {"about.json": bytes(1001), "small": b"fine"})
    done = show(full, "_switch:1.0-on", "--info", "about.json")
    assert done.exit_code != 0
    assert "has 1001 bytes (at most 1000)" in done.stderr
    assert output(full, "_switch:1.0-on", "--info", "small") == "fine"


@pytest.mark.parametrize(
    "data", [b"no gzip", gzip.compress(b"no tar" * 500), gzip.compress(bytes(9 * 2**20))[:-9]]
)
def test_an_info_layer_that_is_none_is_named(full: Rig, data: bytes) -> None:
    put_info_layer(full, data)
    done = show(full, "_switch:1.0-on", "--info", "about.json")
    assert done.exit_code != 0
    assert "Traceback" not in done.stderr
    assert "A fault in cf-index" not in done.stderr


@pytest.mark.parametrize("paths", [b"[", b"[1]", b'{"paths": 1}', b'{"paths": [{}]}', b"\xff"])
def test_a_paths_json_that_is_none_is_named(full: Rig, paths: bytes) -> None:
    put_info(full, {"paths.json": paths})
    done = show(full, "_switch:1.0-on", "--files")
    assert done.exit_code != 0
    assert "is no list of paths" in done.stderr


def test_an_image_index_is_no_package(full: Rig) -> None:
    body = b'{"schemaVersion": 2, "manifests": []}'
    media_type = "application/vnd.oci.image.index.v1+json"
    full.fake.add_manifest(full.repository("noarch", "zzz_switch"), "1.0-on", body, media_type)
    done = show(full, "_switch:1.0-on")
    assert done.exit_code != 0
    assert "is an image index" in done.stderr


def on_a_terminal(rig: Rig, *words: str) -> bytes:
    """What a terminal would get, on stdout."""
    ours, theirs = pty.openpty()
    try:
        command = [sys.executable, "-m", "indexer", *arguments(rig, *words)]
        subprocess.run(command, stdout=theirs, stderr=subprocess.DEVNULL, check=True, timeout=60)
    finally:
        os.close(theirs)
    data = b""
    try:
        while chunk := os.read(ours, 65536):
            data += chunk
    except OSError:  # how Linux says that nobody holds the other end
        pass
    finally:
        os.close(ours)
    return data


ESCAPE = "\x1b]0;owned\x07\x1b[31m"
EVIL = build("evil", extra_index={"license": ESCAPE})


@pytest.mark.parametrize("words", [["--index"], ["--manifest"]])
def test_nothing_in_a_manifest_or_index_json_acts_on_a_terminal(rig: Rig, words: list[str]) -> None:
    repository = rig.repository("noarch", "evil")
    rig.push(EVIL)
    manifest = rig.fake.manifest_of(repository, "1.0-0") | {"annotations": {"a": ESCAPE}}
    rig.fake.add_manifest(repository, "1.0-0", json.dumps(manifest).encode(), manifest["mediaType"])
    shown = on_a_terminal(rig, "evil:1.0-0", *words)
    assert b"owned" in shown
    assert not {b"\x1b", b"\x07"} & {bytes([byte]) for byte in shown}


@pytest.mark.parametrize("words", [[], ["--info"], ["--info", "about.json"], ["--files"]])
def test_nothing_beside_them_acts_on_a_terminal(rig: Rig, words: list[str]) -> None:
    image = package_manifest([SWITCH], annotations={"a": ESCAPE})
    rig.fake.add(rig.repository("noarch", "zzz_switch"), image)
    if words:
        put_info(rig, {"about.json": ESCAPE.encode(), "files": ESCAPE.encode(), ESCAPE: b"x"})
    shown = on_a_terminal(rig, "_switch:1.0-on", *words)
    assert b"owned" in shown
    assert not {b"\x1b", b"\x07"} & {bytes([byte]) for byte in shown}
    if words[1:]:
        # A program gets it as it is.
        assert show(rig, "_switch:1.0-on", *words).stdout == ESCAPE
