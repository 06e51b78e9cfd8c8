"""What urllib3 alone gets of a server: the same questions in threads, digests checked, no more."""

from __future__ import annotations

import hashlib
import threading
import time
from collections.abc import Sequence
from urllib.parse import urlsplit

import urllib3


def rate(address: str, paths: Sequence[str], accept: str, *, connections: int) -> float:
    """Answers a second, when each path is asked for once. ``address`` has its scheme."""
    parts = urlsplit(address)
    pool = urllib3.HTTPConnectionPool(parts.hostname or "", parts.port, maxsize=connections)
    waiting, lock = iter(paths), threading.Lock()

    def work() -> None:
        while True:
            with lock:
                path = next(waiting, None)
            if path is None:
                return
            answer = pool.urlopen(
                "GET", path, headers={"Accept": accept}, retries=False, preload_content=False
            )
            hashlib.sha256(answer.read()).hexdigest()
            answer.release_conn()

    start = time.perf_counter()
    threads = [threading.Thread(target=work) for _ in range(connections)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    return len(paths) / (time.perf_counter() - start)
