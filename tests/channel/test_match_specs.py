"""Dependencies that a client can't parse, or that lead past the channel."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from indexer.channel.index_json import dependency_name
from indexer.errors import ContentError
from tests.channel.samples import parsed

SOUND = [
    "python",
    "python >=3.9",
    "python >=3.9,<3.13.0a0",
    "numpy 1.26.*",
    "libblas 3.9.0 22_linux64_mkl",
    "python_abi 3.12.* *_cp312",
    "blas * mkl",
    "blas =2.131=mkl",
    "libgcc-ng>=12",
    "a !=1.5|2.0.*",
    "a >=1!2.0",
    "__glibc >=2.17,<3.0.a0",
    "_libgcc_mutex 0.1 conda_forge",
    "r-base64enc >=0.1-3",
    "a ~=1.4",
    "openssl 1.0.2_",
    "a >=1.2_,<2+local.1",
    "a 1.2.*|1.3*",
]
BROKEN = ["", " ", "python >=", "a >1,", "a |1", "a >1,<", "a[version", "a[version=']", "*"]
TO_ADDRESSES = [
    "https://example.invalid/noarch/a-1.0-0.conda",
    "a[url='https://example.invalid/noarch/a-1.0-0.conda']",
    "a[url=https://example.invalid/a-1.0-0.conda]",
    "file:///srv/a-1.0-0.conda",
    "/srv/a-1.0-0.conda",
    "C:\\a-1.0-0.conda",
    "https://example.invalid/channel::a",
    "a[channel='https://example.invalid/channel']",
]
# rattler's lenient parser swallows these. conda's own refuses all but the first two. In the first
# three libsolv finds no name (it takes the text after the last colon, and no space before it),
# and mamba, which reads shards by it, then gives up on the whole request.
SWALLOWED = [
    "a >=1+1_",
    "a >=1..2",
    "a 1+a..b|2",
    "python # note: y",
    'python[license="x: y"]',
    " python",
    "python * ^(a+)+$",
    "-",
    "..",
    "a 1;",
    "a 1%",
    'a 1"',
    "a *(",
    "a *)",
    "a 1,2;",
    "a b/c",
    "a 1<",
    "a a~",
    "a *-,",
    "a *$",
    "a a!",
    "1--",
    "a[namespace=x]",
]


@pytest.mark.parametrize("field", ["depends", "constrains"])
@pytest.mark.parametrize("spec", SOUND)
def test_match_specs_in_use_are_let_in(field: str, spec: str) -> None:
    assert parsed(**{field: [spec]}).fields[field] == [spec]


@pytest.mark.parametrize("field", ["depends", "constrains"])
@pytest.mark.parametrize("spec", BROKEN)
def test_one_match_spec_that_does_not_parse_leaves_the_artifact_out(field: str, spec: str) -> None:
    with pytest.raises(ContentError, match=field):
        parsed(**{field: ["python", spec]})


@pytest.mark.parametrize("spec", TO_ADDRESSES)
def test_a_dependency_cannot_lead_past_the_channel(spec: str) -> None:
    with pytest.raises(ContentError, match="depends"):
        parsed(depends=[spec])


@pytest.mark.parametrize("spec", SWALLOWED)
def test_match_specs_that_one_client_alone_swallows_are_refused(spec: str) -> None:
    with pytest.raises(ContentError, match="depends"):
        parsed(depends=[spec])


@pytest.mark.parametrize("spec", ["a[extras=[x]]", "a[when='b']", "a[flags=[x]]", "a; if b"])
def test_syntax_that_only_newer_repodata_may_use_is_refused(spec: str) -> None:
    with pytest.raises(ContentError, match="depends"):
        parsed(depends=[spec])


@pytest.mark.parametrize("spec", ["é", "a\t>1", "a >1\n", "a\x00", "a " + "1" * 5000])
def test_characters_that_no_match_spec_has_are_refused(spec: str) -> None:
    with pytest.raises(ContentError):
        parsed(depends=[spec])


@pytest.mark.parametrize(
    "spec",
    [
        "a[build_number=99999999999999999999]",
        "a[build_number='>99999999999999999999']",
        "a >=99999999999999999999999999999999999999999",
        "a[md5=zz]",
    ],
)
def test_match_specs_that_make_a_parser_panic_are_refused_and_nothing_worse(spec: str) -> None:
    # What rattler raises of a panic is no Exception.
    with pytest.raises(ContentError, match="depends"):
        parsed(depends=[spec])


PIECES = st.sampled_from(
    [*"aA1.-_+!*><=~,|: []()'\"/^$#\u00e9", "9" * 20, "build_number=", "version=", "build="]
)


@given(
    spec=st.one_of(st.text(), st.lists(PIECES, max_size=12).map(lambda some: "a" + "".join(some)))
)
def test_a_dependency_of_any_kind_is_let_in_or_refused_and_nothing_worse(spec: str) -> None:
    try:
        assert parsed(depends=[spec]).fields["depends"] == [spec]
    except ContentError:
        return


@pytest.mark.parametrize(
    "fields",
    [
        {"run_exports": {"weak": ["a >="]}},
        {"run_exports": {"weak": ["https://example.invalid/a-1-0.conda"]}},
        {"extra_depends": {"gui": ["a >="]}},
    ],
)
def test_match_specs_in_other_fields_are_checked_too(fields: dict[str, Any]) -> None:
    with pytest.raises(ContentError, match=r"weak|gui"):
        parsed(**fields)


@pytest.mark.parametrize(
    ("spec", "name"),
    [
        ("numpy", "numpy"),
        ("numpy >=1.19,<3", "numpy"),
        ("numpy=1.20", "numpy"),
        ("numpy<2|>3", "numpy"),
        ("numpy!=1", "numpy"),
        ("numpy~=1.0", "numpy"),
        ("numpy[version='>=1']", "numpy"),
        ("numpy;x", "numpy"),
        ("numpy,x", "numpy"),
        ("numpy|x", "numpy"),
        ("numpy\t>=1", "numpy"),
        (" numpy", "numpy"),
        ("NumPy >=1", "numpy"),
        ("conda-forge::numpy >=1", ""),
        ("conda-forge/linux-64::numpy[build=x]", ""),
        ("numpy[build='a::b']", "numpy"),
        ("_libgcc_mutex 0.1 main", "_libgcc_mutex"),
        ("python_abi 3.12.* *_cp312", "python_abi"),
        ("a.b-c_d", "a.b-c_d"),
        ("__glibc >=2.17", "__glibc"),
        ("", ""),
        ("[name=x]", ""),
        (">=1", ""),
        ("x::", ""),
    ],
)
def test_the_name_in_a_match_spec_is_found(spec: str, name: str) -> None:
    assert dependency_name(spec) == name
