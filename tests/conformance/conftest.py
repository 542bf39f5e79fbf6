"""Networks that conformance tests of devices share: making them takes longer than most cases."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from support.namespaces import Link, linked_namespaces


@pytest.fixture(scope="module")
def wire() -> Iterator[Link]:
    """Two namespaces joined by a veth pair ``eth0``: 10.77.0.1 and fd77::1, 10.77.0.2 and fd77::2.

    Both ends compute their checksums, as machines behind a cable do.
    """
    with linked_namespaces(ipv6=True, has_offload=False) as link:
        yield link
