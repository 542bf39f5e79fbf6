"""What the host refuses to bind to, and what it offers to a transport."""

from collections.abc import Callable
from typing import Any

import pytest

from framelane._native import ffi, lib
from framelane.errors import NativeError
from framelane.transport.native import CounterSource, NativeHost, OpenTransport
from framelane.transport.spec import Capabilities, NativeTransport


def make_ops() -> Any:
    """A complete table: that of the simulated network, copied."""
    return ffi.new("fl_transport_ops_t *", ffi.cast("fl_transport_ops_t *", lib.fl_simnet_ops())[0])


def bind(ops: Any) -> OpenTransport:
    address = int(ffi.cast("uintptr_t", ops))
    return OpenTransport("odd", NativeTransport(address, address), Capabilities(), NativeHost())


def with_magic(ops: Any) -> None:
    ops.magic = 0x1234


def as_port(ops: Any) -> None:
    ops.magic = lib.FL_PORT_MAGIC


def of_another_version(ops: Any) -> None:
    ops.abi_version = 7


def too_small(ops: Any) -> None:
    ops.size = 12


def without_send(ops: Any) -> None:
    ops.send = ffi.NULL


def cut_before_close(ops: Any) -> None:
    ops.size = ffi.offsetof("fl_transport_ops_t", "close")


@pytest.mark.parametrize(
    ("spoil", "message"),
    [
        (with_magic, "not an ops table: magic is 0x00001234, expected 0x52544c46"),
        (as_port, "'odd' is a port .* fl_netstack_open"),
        (of_another_version, "ABI version is 7, this driver's is 1; install a release"),
        (too_small, "ops table is 12 bytes, at least 16 expected"),
        (without_send, "required entry send is absent"),
        (cut_before_close, "required entry close is absent"),
    ],
)
def test_a_wrong_table_is_refused_with_what_was_found(spoil: Callable[[Any], None], message: str) -> None:
    ops = make_ops()
    spoil(ops)
    with pytest.raises(NativeError, match=message):
        bind(ops)


def test_absent_entries_answer_that_they_are_not_supported() -> None:
    ops = make_ops()
    optional = "set_peer poller_enter poller_leave reap arm disarm housekeeping events stats"
    for name in [*optional.split(), "register_memory", "unregister_memory"]:
        setattr(ops, name, ffi.NULL)
    bound = bind(ops).binding.ops
    nothing = ffi.NULL
    answers = [
        bound.set_peer(nothing, nothing),
        bound.poller_enter(nothing),
        bound.poller_leave(nothing),
        bound.reap(nothing, nothing, 0),
        bound.arm(nothing),
        bound.disarm(nothing),
        bound.housekeeping(nothing, 0),
        bound.events(nothing, nothing, 0),
        bound.stats(nothing, nothing, 0),
        bound.register_memory(nothing, nothing, 0, nothing),
        bound.unregister_memory(nothing, 0),
    ]
    assert set(answers) == {-lib.FL_ENOTSUP}


def test_a_null_object_is_refused() -> None:
    ops = make_ops()
    with pytest.raises(NativeError, match="open returned no object"):
        OpenTransport("odd", NativeTransport(int(ffi.cast("uintptr_t", ops)), 0), Capabilities(), NativeHost())


def test_ten_log_lines_a_second_pass_and_the_others_are_counted() -> None:
    clock = lib.fl_clock_virtual_new(0, 1_700_000_000_000_000_000)
    host = NativeHost(clock, seed=1)
    for second in range(3):
        for i in range(25):
            host.table.log(host.table, lib.FL_LOG_WARNING, f"{second}.{i}".encode())
        lib.fl_clock_advance(clock, 1_000_000_000)
    lines = list(host.log_lines())
    assert [line.text for line in lines] == [f"{second}.{i}" for second in range(3) for i in range(10)]
    assert {line.level for line in lines} == {lib.FL_LOG_WARNING}
    assert [line.epoch_ns for line in lines[::10]] == [1_700_000_000_000_000_000 + s * 10**9 for s in range(3)]
    assert host.log_suppressed == 45
    host.close()
    lib.fl_clock_virtual_free(clock)


def test_a_full_log_queue_counts_what_it_loses_and_recovers() -> None:
    clock = lib.fl_clock_virtual_new(0, 0)
    host = NativeHost(clock, seed=1)
    for _ in range(10):
        for _ in range(10):
            host.table.log(host.table, lib.FL_LOG_INFO, b"line")
        lib.fl_clock_advance(clock, 1_000_000_000)
    assert len(list(host.log_lines())) == 64
    assert host.log_suppressed == 36
    host.table.log(host.table, lib.FL_LOG_INFO, b"again")
    assert [line.text for line in host.log_lines()] == ["again"]
    host.close()
    lib.fl_clock_virtual_free(clock)


def test_the_generator_is_decided_by_its_seed() -> None:
    def draw(seed: int) -> list[int]:
        host = NativeHost(seed=seed)
        drawn = [host.table.random(host.table) for _ in range(5)]
        host.close()
        return drawn

    assert draw(42) == draw(42)
    assert len({*draw(42), *draw(43)}) == 10


def test_counters_live_in_private_memory_if_no_source_is_given() -> None:
    host = NativeHost(seed=1)
    value = host.table.counter_allocate(host.table, 7700, b"key", 3, b"odd-rx-drops")
    value[0] = 5
    (counter,) = host.private_counters()
    assert (counter.type_id, counter.key, counter.label, counter.value) == (7700, b"key", "odd-rx-drops", 5)
    assert host.table.counter_allocate(host.table, 7700, bytes(113), 113, b"key too long") == ffi.NULL
    host.close()


def test_counters_come_from_the_source_and_go_back_to_it() -> None:
    values = ffi.new("int64_t[2]")
    calls: list[tuple[object, ...]] = []

    @ffi.callback("int64_t *(void *, int32_t, const void *, size_t, const char *)")
    def allocate(state: Any, type_id: int, key: Any, key_length: int, label: Any) -> Any:
        calls.append((int(ffi.cast("intptr_t", state)), type_id, ffi.buffer(key, key_length)[:], ffi.string(label)))
        return values + len(calls) - 1

    freed: list[int] = []

    @ffi.callback("void (void *, int64_t *)")
    def free(_state: Any, value: Any) -> None:
        freed.append(value - values)

    as_address = lambda function: int(ffi.cast("uintptr_t", function))  # noqa: E731
    host = NativeHost(seed=1, counters=CounterSource(as_address(allocate), as_address(free), 77))
    assert host.table.counter_allocate(host.table, 7700, b"k", 1, b"first") == values
    assert host.table.counter_allocate(host.table, 7701, b"k", 1, b"second") == values + 1
    assert calls == [(77, 7700, b"k", b"first"), (77, 7701, b"k", b"second")]
    host.close()
    assert freed == [0, 1]
