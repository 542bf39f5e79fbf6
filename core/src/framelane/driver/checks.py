"""Checks between values at start (``shm`` 10.2, ``wire`` 8.3), and the settings whose feature is missing.

What depends on the machine is not here: the directory, and the buffers that the system grants to sockets.
"""

from __future__ import annotations

from collections.abc import Iterator

from framelane.driver.model import DriverSettings, default_of, kind_of
from framelane.driver.name_entries import parse_name_table
from framelane.driver.unsupported import UNSUPPORTED
from framelane.driver.values import GIB, INT64_MAX, KIB

__all__ = ["check", "find_unsupported"]

_RING_TRAILER = 768
_BROADCAST_TRAILER = 128
_FRAME_ALIGNMENT = 32


def check(settings: DriverSettings) -> Iterator[tuple[str, str]]:
    """Yield (key, what is wrong) for everything that makes a start fail, in the stock driver's order."""
    for key in ("term_buffer_length", "ipc_term_buffer_length"):
        if not _is_power_of_two(getattr(settings, key), 64 * KIB, GIB):
            yield key, "is not a power of two from 64k to 1g"
    if not _is_power_of_two(settings.file_page_size, 4 * KIB, GIB):
        yield "file_page_size", "is not a power of two from 4k to 1g"
    for key in ("mtu_length", "ipc_mtu_length"):
        mtu_length: int = getattr(settings, key)
        if mtu_length <= _FRAME_ALIGNMENT or mtu_length % _FRAME_ALIGNMENT != 0:
            yield key, "is not a multiple of 32 above 32"
    for key, trailer in (("conductor_buffer_length", _RING_TRAILER), ("clients_buffer_length", _BROADCAST_TRAILER)):
        if not _is_power_of_two(getattr(settings, key) - trailer, 1, INT64_MAX):
            yield key, f"is not a power of two plus {trailer}"
    if settings.send_run_length < settings.mtu_length:
        yield "send_run_length", f"is below mtu_length = {settings.mtu_length}"

    low, high = settings.publication_reserved_session_id_low, settings.publication_reserved_session_id_high
    if low > high:
        yield "publication_reserved_session_id_low", f"is above publication_reserved_session_id_high = {high}"
    elif high - low == 2**32 - 1:
        yield "publication_reserved_session_id_low", "to publication_reserved_session_id_high leaves no session id"

    for greater, lesser in (
        ("publication_unblock_timeout", "client_liveness_timeout"),
        ("client_liveness_timeout", "timer_interval"),
        ("untethered_window_limit_timeout", "timer_interval"),
        ("untethered_resting_timeout", "timer_interval"),
        ("untethered_linger_timeout", "timer_interval"),
    ):
        value: int | None = getattr(settings, greater)
        if value is not None and value <= getattr(settings, lesser):
            yield greater, f"is not above {lesser} = {kind_of(lesser).show(getattr(settings, lesser))}"
    if settings.nak_unicast_delay * settings.nak_unicast_retry_delay_ratio > INT64_MAX:
        yield "nak_unicast_retry_delay_ratio", "times nak_unicast_delay is more than 64 bits of nanoseconds"
    yield from _check_name_table(settings)
    if settings.driver_resolver_interface is not None and settings.driver_resolver_name is None:
        yield "driver_resolver_interface", "needs driver_resolver_name"

    for agent in ("conductor", "sender", "receiver", "shared", "sharednetwork", "driver_native_resource_agent"):
        try:
            settings.idle_strategy(agent)
        except ValueError as error:
            yield f"{agent}_idle_strategy_init_args", str(error)


def _check_name_table(settings: DriverSettings) -> Iterator[tuple[str, str]]:
    for key in ("name_resolver_init_args", "name_resolver_csv_lookup_table_args"):
        text: str | None = getattr(settings, key)
        if text is None:
            continue
        if settings.name_resolver_supplier != "csv_table":
            yield key, "is for name_resolver_supplier = csv_table"
            continue
        try:
            parse_name_table(text)
        except ValueError as error:
            yield key, str(error)


def find_unsupported(settings: DriverSettings, *, ignored: bool) -> Iterator[tuple[str, str]]:
    """Yield (key, what is wrong) for every setting that asks for a feature which this driver does not have.

    :param ignored: those that are ignored, else those that make the start fail.
    """
    for key, unsupported in UNSUPPORTED.items():
        value, default = getattr(settings, key), default_of(key)
        is_asked = value != default and value not in unsupported.same_as_default
        if is_asked and unsupported.is_ignored == ignored:
            what = f"asks for {unsupported.feature}, which this driver does not have"
            instead = unsupported.instead or f"leave it at {kind_of(key).show(default) or 'nothing'}"
            yield key, f"{what}; {instead}"


def _is_power_of_two(value: int, minimum: int, maximum: int) -> bool:
    return minimum <= value <= maximum and value & (value - 1) == 0
