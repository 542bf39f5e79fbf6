"""Networks that conformance tests of devices share: making them takes longer than most cases."""

from __future__ import annotations

import subprocess
from collections.abc import Iterator

import pytest

from support.namespaces import Link, linked_namespaces, require_namespaces


@pytest.fixture(scope="module")
def wire() -> Iterator[Link]:
    """Two namespaces joined by a veth pair ``eth0``: 10.77.0.1 and fd77::1, 10.77.0.2 and fd77::2.

    Both ends compute their checksums, as machines behind a cable do.
    """
    require_namespaces()
    with linked_namespaces() as link:
        for namespace, address in ((link.left, "fd77::1/64"), (link.right, "fd77::2/64")):
            for words in (
                ["ip", "-n", namespace, "address", "add", address, "dev", "eth0", "nodad"],
                ["ip", "netns", "exec", namespace, "ethtool", "-K", "eth0", "tx", "off"],
            ):
                subprocess.run(words, check=True, capture_output=True, timeout=20)
        yield link
