"""The driver's settings: the stock ones and ours."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any

from pydantic import Field

from framelane.driver.debug import Faults
from framelane.driver.idle import IdleStrategy, parse_idle_strategy
from framelane.driver.stock import OptionalText, StockSettings
from framelane.driver.values import INT64_MAX, KIB, MIB, MILLISECOND, SECOND, Duration, FilePath, Integer, Kind, Size
from framelane.transport.wrappers import FaultDirection

__all__ = ["CLIENT_NAMES", "OTHER_NAMES", "REMARKS", "DriverSettings", "environment_name", "kind_of"]


class DriverSettings(StockSettings):
    """Everything under ``[driver]``. Immutable; sizes are bytes, durations nanoseconds."""

    user: OptionalText = Field(None, description="User to become after the devices are open.")
    group: OptionalText = Field(None, description="Group to become after the devices are open.")
    send_run_length: Annotated[int, Size(KIB, MIB)] = Field(
        64 * KIB, description="Most bytes of a publication in one send cycle; not below mtu_length."
    )
    wait_max_ns: Annotated[int, Duration(minimum=1_000, maximum=10 * SECOND)] = Field(
        MILLISECOND, description="Longest sleep of the idle strategy wait while there are clients: the latency it adds."
    )
    wait_max_no_clients_ns: Annotated[int, Duration(minimum=1_000, maximum=10 * SECOND)] = Field(
        10 * MILLISECOND, description="Longest sleep of the idle strategy wait without clients."
    )

    debug_send_faults: Annotated[FaultDirection | None, Faults()] = Field(
        None, description="Test only: what happens to datagrams that are sent."
    )
    debug_receive_faults: Annotated[FaultDirection | None, Faults()] = Field(
        None, description="Test only: what happens to datagrams that are received."
    )
    debug_faults_seed: Annotated[int, Integer(0, INT64_MAX)] = Field(1, description="Test only: seed of the faults.")
    debug_capture: Annotated[Path | None, FilePath()] = Field(
        None, description="Test only: a pcap file for each transport, NAME put before the suffix: FILE-NAME.pcap."
    )

    def idle_strategy(self, agent: str) -> IdleStrategy:
        """Return the idle strategy of ``conductor``, ``sender``, ``receiver``, ``shared`` or ``sharednetwork``.

        :raises ValueError: if its arguments are wrong, which :func:`load_settings` has checked.
        """
        name: str = getattr(self, f"{agent}_idle_strategy")
        arguments: str | None = getattr(self, f"{agent}_idle_strategy_init_args")
        return parse_idle_strategy(name, arguments)


#: Where the default is not the stock driver's.
REMARKS = {
    "threading_mode": "the stock default is DEDICATED",
    "network_publication_max_messages_per_send": "the stock default of 4 is not applied; send_run_length is the limit",
    "receiver_io_vector_capacity": "the stock default of 4 is not applied; the transport's batch is taken whole",
    "sender_io_vector_capacity": "the stock default of 4 is not applied; the transport's batch is taken whole",
}

#: Java properties whose name differs from the environment name, as an environment name.
ALIASES = {"AERON_NAME_RESOLVER_THRESHOLD": "driver_name_resolver_threshold"}

#: Settings of clients (``shm`` 10.4), which share the environment with drivers.
CLIENT_NAMES = frozenset(
    {
        "AERON_CLIENT_NAME",
        "AERON_CLIENT_RESOURCE_LINGER_DURATION",
        "AERON_CLIENT_IDLE_SLEEP_DURATION",
        "AERON_CLIENT_PRE_TOUCH_MAPPED_MEMORY",
    }
)

#: Names of ours that are no settings of the driver.
OTHER_NAMES = frozenset(
    {
        "FRAMELANE_CI",
        "FRAMELANE_CONFIG",
        "FRAMELANE_DISABLE_TRANSPORTS",
        "FRAMELANE_SANITIZE",
        "FRAMELANE_STRICT_TRANSPORTS",
        "FRAMELANE_WERROR",
    }
)


def kind_of(key: str) -> Kind:
    """Return what values a key of ``[driver]`` takes."""
    return next(item for item in DriverSettings.model_fields[key].metadata if isinstance(item, Kind))


def default_of(key: str) -> Any:
    """Return the default of a key of ``[driver]``."""
    return DriverSettings.model_fields[key].get_default(call_default_factory=True)


def environment_name(key: str) -> str:
    """Return the environment name of a key of ``[driver]``."""
    return ("AERON_" if key in StockSettings.model_fields else "FRAMELANE_") + key.upper()


#: From environment name to key.
KEYS_BY_NAME = {environment_name(key): key for key in DriverSettings.model_fields} | ALIASES
