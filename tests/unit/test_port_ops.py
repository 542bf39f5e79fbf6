"""What the host refuses to put a netstack on."""

from collections.abc import Callable
from typing import Any

import pytest

from framelane._native import ffi, lib


def of_a_transport(ops: Any) -> None:
    ops.magic = lib.FL_TRANSPORT_MAGIC


def of_another_version(ops: Any) -> None:
    ops.abi_version = 7


def too_small(ops: Any) -> None:
    ops.size = 12


def without_attributes(ops: Any) -> None:
    ops.attributes = ffi.NULL


def cut_before_close(ops: Any) -> None:
    ops.size = ffi.offsetof("fl_port_ops_t", "close")


@pytest.mark.parametrize(
    ("spoil", "message"),
    [
        (of_a_transport, "port 'odd' is a datagram transport, which needs no netstack"),
        (of_another_version, "port 'odd': ABI version is 7, this driver's is 1; install a release"),
        (too_small, "port 'odd': ops table is 12 bytes, at least 16 expected"),
        (without_attributes, "port 'odd': required entry attributes is absent"),
        (cut_before_close, "port 'odd': required entry close is absent"),
    ],
)
def test_a_wrong_table_of_a_port_is_refused_with_what_was_found(spoil: Callable[[Any], None], message: str) -> None:
    ops = ffi.new("fl_port_ops_t *", ffi.cast("fl_port_ops_t *", lib.fl_memory_port_ops())[0])
    spoil(ops)
    attributes, port = ffi.new("fl_port_attributes_t *"), ffi.cast("void *", 1)

    assert lib.fl_port_attributes(ops, port, b"odd", attributes) < 0

    assert ffi.string(lib.fl_error_text()).decode().startswith(message)


def test_a_port_without_an_object_is_refused() -> None:
    attributes = ffi.new("fl_port_attributes_t *")
    assert lib.fl_port_attributes(lib.fl_memory_port_ops(), ffi.NULL, b"odd", attributes) == -lib.FL_EINVAL
    assert ffi.string(lib.fl_error_text()).decode() == "port 'odd': open returned no object"
