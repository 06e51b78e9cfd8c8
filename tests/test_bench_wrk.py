"""What is read off wrk's report: a wrong unit would make a slow server look fast."""

from __future__ import annotations

import pytest

from bench.wrk import Load, parse

REPORT = """\
Running 4s test @ http://127.0.0.1:8000
  1 threads and 64 connections
  Thread Stats   Avg      Stdev     Max   +/- Stdev
    Latency     3.77ms    2.10ms  40.99ms   75.00%
    Req/Sec    15.01k     1.20k   18.20k    70.00%
  Latency Distribution
     50%  812.00us
     75%    4.10ms
     90%    6.00ms
     99%    1.20s
  60012 requests in 4.00s, 9.20MB read
Requests/sec:  14803.91
Transfer/sec:      2.30MB
"""


def test_each_latency_has_its_unit() -> None:
    assert parse(REPORT) == Load(14803.91, 0.812, 1200.0)


@pytest.mark.parametrize(
    "line", ["  Non-2xx or 3xx responses: 1\n", "  Socket errors: connect 0, read 1, write 0\n"]
)
def test_a_load_with_failures_is_no_measurement(line: str) -> None:
    with pytest.raises(ValueError, match="answered"):
        parse(REPORT + line)


def test_no_report_is_no_measurement() -> None:
    with pytest.raises(ValueError, match="answered"):
        parse("unable to connect to 127.0.0.1:1\n")
