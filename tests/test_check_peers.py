"""The check on other tools' channels: what is sound passes, and what no client reads doesn't."""

from __future__ import annotations

import asyncio
import json
import random
import tracemalloc
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from typing import Any

import msgpack
import orjson
import pytest
from rattler.index import index_fs

from demo.packages import build
from indexer.channel.record import Record
from indexer.check import check_channel
from indexer.published import Folder
from indexer.registry import Transport
from indexer.render import repodata, shards, zstd
from tests.channel.samples import record
from tests.render.channels import write_repodata, write_subdir
from tests.support.loopback import FileHost

RECORDS = [
    record("alpha", subdir="noarch"),
    record("alpha", subdir="noarch", end=".tar.bz2"),
    record("beta", subdir="noarch", license='a,b}]{[\n"\\é'),
    record("gamma", subdir="noarch", size=2**53, score=0.1),
]


def check(root: Path, *subdirs: str) -> tuple[dict[str, int], list[str]]:
    findings = check_channel(Folder(root), subdirs or None)
    return findings.records, [str(problem) for problem in findings.problems]


def document_of(*records: Record, **changes: Any) -> dict[str, Any]:
    sections: dict[str, dict[str, Any]] = {"packages": {}, "packages.conda": {}}
    for item in records:
        section = "packages" if item.file_name.endswith(".tar.bz2") else "packages.conda"
        sections[section][item.file_name] = item.fields()
    end = {"removed": [], "repodata_version": 1}
    return {"info": {"subdir": "noarch"}} | sections | end | changes


def publish(root: Path, text: str | bytes) -> Path:
    (root / "noarch").mkdir(parents=True)
    data = text if isinstance(text, bytes) else text.encode()
    (root / "noarch" / repodata.FILE_NAME).write_bytes(data)
    (root / "noarch" / repodata.ZST_NAME).write_bytes(zstd.compress(data))
    return root


def shuffled(value: Any) -> Any:
    if not isinstance(value, dict):
        return value
    items = list(value.items())
    random.Random(5).shuffle(items)  # noqa: S311  the same order each time
    return {key: shuffled(item) for key, item in items}


@pytest.mark.parametrize("indent", [None, 0, 2])
@pytest.mark.parametrize("sort", [True, False])
def test_repodata_as_conda_index_writes_it_passes(
    tmp_path: Path, indent: int | None, *, sort: bool
) -> None:
    document = shuffled(document_of(*RECORDS))
    text = json.dumps(document, indent=indent, sort_keys=sort)
    assert check(publish(tmp_path, text)) == ({"noarch": 4}, [])


def test_repodata_of_another_layout_is_compared_with_shards_record_by_record(
    tmp_path: Path,
) -> None:
    folder = write_subdir(tmp_path, RECORDS)
    (folder / repodata.ZST_NAME).unlink()
    (folder / repodata.FILE_NAME).write_text(json.dumps(shuffled(document_of(*RECORDS)), indent=1))
    assert check(tmp_path) == ({"noarch": 4}, [])
    (folder / repodata.FILE_NAME).write_text(json.dumps(document_of(*RECORDS[1:])))
    _, found = check(tmp_path)
    assert any("names: alpha" in problem for problem in found)


def test_a_channel_that_rattler_indexed_passes(tmp_path: Path) -> None:
    for package in (
        build("alpha"),
        build("alpha", "2.0", archive="tar.bz2", extra_index={"constrains": ["beta <2"]}),
        build("_beta", "1!2.0+x", subdir="linux-64", depends=["alpha >=1"]),
    ):
        folder = tmp_path / package.subdir
        folder.mkdir(exist_ok=True)
        (folder / package.file_name).write_bytes(package.data)
    asyncio.run(index_fs(tmp_path, write_zst=True, write_shards=True))
    assert (tmp_path / "noarch" / "repodata_shards.msgpack.zst").is_file()
    assert check(tmp_path) == ({"linux-64": 1, "noarch": 2}, [])


@pytest.mark.parametrize(
    "text",
    [
        "",
        "null",
        "[]",
        '"x"',
        "5",
        "{",
        json.dumps(document_of(*RECORDS))[:-1],
        json.dumps(document_of(*RECORDS)) + "x",
        json.dumps(document_of(*RECORDS)) * 2,
        json.dumps(document_of(packages=[])),
        json.dumps(document_of(**{"packages.conda": [RECORDS[0].fields()]})),
        json.dumps(document_of(packages=None)),
        json.dumps(document_of(**{"packages.conda": {"a-1-0.conda": None}})),
        json.dumps(document_of(info={"subdir": "linux-64"})),
        json.dumps(document_of(*RECORDS)).replace("0.1", "NaN"),
    ],
)
def test_repodata_that_no_client_could_read_is_found(tmp_path: Path, text: str) -> None:
    (_, found) = check(publish(tmp_path, text))
    assert any("noarch/repodata.json" in problem for problem in found)


def test_text_that_is_not_utf_8_is_found(tmp_path: Path) -> None:
    text = json.dumps(document_of(*RECORDS)).encode().replace(b"MIT", b"\xff\xfe\xfd")
    assert check(publish(tmp_path, text))[1] != []


def nested(levels: int) -> object:
    value: object = 1
    for _ in range(levels):
        value = [value]
    return value


@pytest.mark.parametrize("indent", [None, 1])
@pytest.mark.parametrize("odd", [nested(400), 2**63, 2**70, -(2**70), "\ud800"])
def test_odd_values_of_unknown_fields_never_stop_the_check(
    tmp_path: Path, odd: object, indent: int | None
) -> None:
    text = json.dumps(document_of(record("alpha", subdir="noarch")), indent=indent)
    records, _ = check(publish(tmp_path, text.replace('"MIT"', json.dumps(odd))))
    assert set(records) == {"noarch"}


@pytest.mark.parametrize("odd", [b"[" * 400 + b"]" * 400, b'"\xff"', b'"\\ud800"', b"1e999"])
def test_odd_values_in_a_file_of_ours_never_stop_the_check(tmp_path: Path, odd: bytes) -> None:
    data = write_repodata(tmp_path / "noarch", RECORDS)
    (tmp_path / "noarch" / repodata.ZST_NAME).unlink()
    (tmp_path / "noarch" / repodata.FILE_NAME).write_bytes(data.replace(b'"MIT"', odd, 1))
    assert check(tmp_path)[1] != []


@pytest.mark.parametrize("between", [0, 3])
@pytest.mark.parametrize("indent", [None, 2])
def test_a_file_that_is_listed_twice_is_found(
    tmp_path: Path, between: int, indent: int | None
) -> None:
    # Clients differ in which of the two they take. Where other files lie between them, it is
    # the shards, which can't list a file twice, that give it away.
    fillers = [record(f"filler{number}", subdir="noarch") for number in range(between)]
    folder = write_subdir(tmp_path, [RECORDS[0], *fillers])
    document = document_of(RECORDS[0], *fillers)
    document["packages.conda"]["TWIN"] = RECORDS[0].fields() | {"license": "other"}
    text = json.dumps(document, indent=indent).replace('"TWIN"', f'"{RECORDS[0].file_name}"')
    (folder / repodata.FILE_NAME).write_text(text)
    (folder / repodata.ZST_NAME).write_bytes(zstd.compress(text.encode()))
    _, found = check(tmp_path)
    assert any("names: alpha" in problem for problem in found)
    assert between or any("is there twice" in problem for problem in found)


def test_a_file_that_is_listed_twice_in_a_file_of_ours_is_found(tmp_path: Path) -> None:
    write_repodata(tmp_path / "noarch", [RECORDS[0], RECORDS[0]])
    assert any("twice" in problem for problem in check(tmp_path)[1])


def test_a_record_in_the_section_of_the_other_format_is_found(tmp_path: Path) -> None:
    document = document_of()
    document["packages"][RECORDS[0].file_name] = RECORDS[0].fields()
    _, found = check(publish(tmp_path, json.dumps(document)))
    assert any("is in section packages" in problem for problem in found)


@pytest.mark.parametrize(
    ("old", "new"),
    [
        (b',\n"beta-', b'\n"beta-'),
        (b'\n},\n"removed"', b',\n},\n"removed"'),
        (b'"noarch"},\n', b'"noarch"}\n'),
        (b'\n"beta-', b'\n"\xff-'),
        (b'"removed":[]', b'"removed":{}'),
        (b'"repodata_version":1', b'"repodata_version":2'),
        (b'{"subdir":"noarch"}', b'{"subdir":"linux-64"}'),
    ],
)
def test_a_file_of_ours_that_is_no_repodata_is_found(
    tmp_path: Path, old: bytes, new: bytes
) -> None:
    data = write_repodata(tmp_path / "noarch", RECORDS)
    assert old in data
    damaged = data.replace(old, new)
    (tmp_path / "noarch" / repodata.FILE_NAME).write_bytes(damaged)
    (tmp_path / "noarch" / repodata.ZST_NAME).write_bytes(zstd.compress(damaged))
    assert check(tmp_path)[1] != []


def test_a_channel_without_noarch_is_none(tmp_path: Path) -> None:
    write_subdir(tmp_path, [record()], "linux-64")
    assert any("noarch/repodata.json" in problem for problem in check(tmp_path)[1])


def test_a_named_subdir_must_be_there(tmp_path: Path) -> None:
    write_subdir(tmp_path, RECORDS)
    assert any("osx-64/repodata.json" in p for p in check(tmp_path, "osx-64")[1])


def test_a_subdir_that_channeldata_lists_must_be_there(tmp_path: Path) -> None:
    write_subdir(tmp_path, RECORDS)
    listed = {"channeldata_version": 1, "subdirs": ["noarch", "osx-64"], "packages": {}}
    (tmp_path / "channeldata.json").write_bytes(orjson.dumps(listed))
    assert any("osx-64/repodata.json" in problem for problem in check(tmp_path)[1])


@pytest.mark.parametrize(
    "text", ["", "[]", "null", "{}", '{"subdirs": 5}', '{"subdirs": [1, "../x"]}']
)
def test_a_damaged_channeldata_never_stops_the_check(tmp_path: Path, text: str) -> None:
    write_subdir(tmp_path, RECORDS)
    (tmp_path / "channeldata.json").write_text(text)
    assert isinstance(check(tmp_path)[1], list)


def test_a_thousand_problems_are_counted_and_not_all_kept(tmp_path: Path) -> None:
    broken = [record(f"p{n}", subdir="noarch", size=-1) for n in range(1_000)]
    write_repodata(tmp_path / "noarch", broken)
    findings = check_channel(Folder(tmp_path))
    assert len(findings.problems) == 100
    assert len(findings.problems) + findings.uncounted >= 1_000


def many(count: int) -> Iterator[tuple[str, bytes]]:
    identity = {"name": "alpha", "version": "1.VERSION", "build": "0", "build_number": 0}
    item = Record.make(
        "alpha-1.VERSION-0.conda", identity | {"sha256": "0" * 64, "size": 1, "note": "x" * 700}
    )
    for number in range(count):
        version = f"{number:06}"
        body = item.body.replace(b"VERSION", version.encode())
        yield item.file_name.replace("VERSION", version), body


def peak_of_check(root: Path, count: int) -> int:
    """The most memory (bytes) that writing and checking so many records takes."""
    folder = root / str(count) / "noarch"
    folder.mkdir(parents=True)
    tracemalloc.start()
    try:
        sections = {"packages": (), "packages.conda": repodata.lines(many(count))}
        repodata.write_repodata(folder, "noarch", None, sections)
        (folder / repodata.ZST_NAME).unlink()
        assert check(folder.parent) == ({"noarch": count}, [])
        return tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()


def test_memory_does_not_grow_with_the_records(tmp_path: Path) -> None:
    # Measured: 2.2 MB for any number, 50,000 (45 MB of repodata) included.
    few, more = (peak_of_check(tmp_path, count) for count in (2_000, 8_000))
    assert more < few + 200_000


def rebase(root: Path, base: str) -> None:
    """Let the shard index say that its shards are somewhere else."""
    path = root / "noarch" / shards.INDEX_NAME
    document = msgpack.unpackb(zstd.decompress(path.read_bytes(), 10**6))
    document["info"]["shards_base_url"] = base
    path.write_bytes(zstd.compress(msgpack.packb(document)))


@pytest.mark.parametrize("base", ["../noarch/shards/", "./shards", "./shards/", "shards/"])
def test_shards_are_found_wherever_in_the_channel_they_are(tmp_path: Path, base: str) -> None:
    write_subdir(tmp_path, RECORDS)
    rebase(tmp_path, base)
    assert check(tmp_path)[1] == []
    next((tmp_path / "noarch/shards").iterdir()).unlink()
    (problem,) = [text for text in check(tmp_path)[1] if "missing" in text]
    assert "the shard of" in problem


@pytest.mark.parametrize(
    "base", ["../../elsewhere/", "/shards/", "https://example.invalid/shards/"]
)
def test_shards_that_cannot_be_looked_at_are_a_problem(tmp_path: Path, base: str) -> None:
    write_subdir(tmp_path, RECORDS)
    rebase(tmp_path, base)
    assert any("out" in problem for problem in check(tmp_path)[1])


def test_shards_at_another_address_are_fetched_from_there(tmp_path: Path) -> None:
    write_subdir(tmp_path, RECORDS)
    with FileHost() as host, closing(Transport(retry_for=0)) as transport:
        names = [path.name for path in (tmp_path / "noarch/shards").iterdir()]
        for name in names:
            host.put(f"/s/{name}", (tmp_path / "noarch/shards" / name).read_bytes())
        rebase(tmp_path, f"{host.http}/s/")
        assert check_channel(Folder(tmp_path, transport)).problems == []
        del host.files[f"/s/{names[0]}"]
        problems = [str(problem) for problem in check_channel(Folder(tmp_path, transport)).problems]
    assert any("is missing" in problem for problem in problems)


def test_json_nested_beyond_reason_is_refused_before_it_costs_memory(tmp_path: Path) -> None:
    text = json.dumps(document_of())[:-1] + ', "x": ' + "[" * 40_000 + "]" * 40_000 + "}"
    publish(tmp_path, text)
    assert any("nested deeper" in problem for problem in check(tmp_path)[1])


def test_what_a_foreign_channel_says_cannot_act_on_a_terminal(tmp_path: Path) -> None:
    document = document_of()
    document["packages.conda"]["\x1b[2J\nNothing is wrong.\n"] = {}
    publish(tmp_path, json.dumps(document))
    problems = check(tmp_path)[1]
    assert problems
    assert all(problem.isprintable() for problem in problems)


def test_a_subdir_that_nobody_lists_is_looked_at_too(tmp_path: Path) -> None:
    write_subdir(tmp_path, RECORDS)
    write_subdir(tmp_path, [record()], "linux-64")
    (tmp_path / "channeldata.json").write_bytes(orjson.dumps({"subdirs": []}))
    (tmp_path / "linux-64/repodata.json").write_bytes(b"{}")
    assert any("linux-64/repodata.json" in problem for problem in check(tmp_path)[1])
