"""How nginx is told what the gateway is measured beside."""

from __future__ import annotations

from bench.serving import redirects


def test_the_map_has_each_path_once_and_a_redirect_of_the_same_status_as_ours() -> None:
    server, settings = redirects({"/a.conda": "http://b/a", "/c.conda": "http://b/c"})
    assert "return 307 $target;" in server
    lines = [line.strip() for line in settings.splitlines()]
    assert lines.count("/a.conda http://b/a;") == 1
    assert lines.count("/c.conda http://b/c;") == 1
