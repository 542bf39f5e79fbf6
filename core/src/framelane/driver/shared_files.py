"""The driver's own shared files: CnC file and loss report, from start-up to shutdown (shm 1.4, 1.6)."""

from __future__ import annotations

import os
import shutil
from dataclasses import dataclass
from pathlib import Path
from typing import Self

from framelane import __version__
from framelane.driver.clock import Clock
from framelane.driver.counters import Counters
from framelane.driver.log import logger
from framelane.driver.model import DriverSettings
from framelane.errors import FramelaneError
from framelane.shm.broadcast import BroadcastTransmitter
from framelane.shm.cnc import (
    CNC_FILE,
    CONTROL_PROTOCOL_VERSION,
    HEARTBEAT_CLOSED,
    CncFile,
    CncParams,
    semantic_version,
)
from framelane.shm.cnc import Clock as WaitClock
from framelane.shm.directory import prepare_directory, remove_directory
from framelane.shm.error_log import ErrorLog
from framelane.shm.loss_report import LOSS_REPORT_FILE, LossReport
from framelane.shm.ring import ToDriverRing
from framelane.shm.system_counters import SystemCounter, SystemLabels

__all__ = ["SharedFiles"]


def _warn(text: str) -> None:
    logger.warning("directory", text=text)


@dataclass(frozen=True)
class SharedFiles:
    """What the driver shares with all its clients.

    :ivar drop_counters: ids by ``FL_DROP_*``.
    """

    directory: Path
    clock: Clock
    cnc: CncFile
    ring: ToDriverRing
    broadcast: BroadcastTransmitter
    counters: Counters
    error_log: ErrorLog
    loss_report: LossReport
    drop_counters: list[int]

    @classmethod
    def create(cls, settings: DriverSettings, clock: Clock, threading_mode: str) -> Self:
        """Make the directory and the files; clients wait until :meth:`ready`.

        :raises ActiveDriverError: if a driver serves the directory.
        :raises FramelaneError: if something cannot be made; what was made is removed.
        """
        directory = settings.dir.absolute()
        prepare_directory(
            directory,
            driver_timeout_ms=settings.driver_timeout // 1_000_000,
            delete_on_start=settings.dir_delete_on_start,
            warn_if_exists=settings.dir_warn_if_exists,
            warn=_warn,
            clock=WaitClock(epoch_ms=clock.epoch_ms),
        )
        try:
            return cls._create(directory, settings, clock, threading_mode)
        except BaseException:
            shutil.rmtree(directory, ignore_errors=True)
            raise

    @classmethod
    def _create(cls, directory: Path, settings: DriverSettings, clock: Clock, threading_mode: str) -> Self:
        cnc = CncFile.create(
            directory / CNC_FILE,
            CncParams(
                start_timestamp_ms=clock.epoch_ms(),
                pid=os.getpid(),
                to_driver_buffer_length=settings.conductor_buffer_length,
                to_clients_buffer_length=settings.clients_buffer_length,
                counters_values_buffer_length=settings.counters_buffer_length,
                error_log_buffer_length=settings.error_buffer_length,
                client_liveness_timeout_ns=settings.client_liveness_timeout,
                file_page_size=settings.file_page_size,
            ),
        )
        loss_report = LossReport(
            directory / LOSS_REPORT_FILE, settings.loss_report_buffer_length, page_size=settings.file_page_size
        )
        cool_down_ms = settings.counters_free_to_reuse_timeout // 1_000_000
        counters = Counters(cnc.counters_manager(cool_down_ms=cool_down_ms), clock)
        counters.allocate_system(
            SystemLabels(
                version=__version__,
                commit="",
                threading_mode=threading_mode,
                resolver_name=settings.driver_resolver_name or "",
                conductor_threshold_ns=settings.driver_conductor_cycle_threshold,
                sender_threshold_ns=settings.driver_sender_cycle_threshold,
                receiver_threshold_ns=settings.driver_receiver_cycle_threshold,
                name_resolver_threshold_ns=settings.driver_name_resolver_threshold,
            )
        )
        major, minor, patch = (int(part) for part in __version__.split(".")[:3])
        counters.set(SystemCounter.AERON_VERSION, semantic_version(major, minor, patch))
        counters.set(SystemCounter.CONTROL_PROTOCOL_VERSION, CONTROL_PROTOCOL_VERSION)
        counters.set(SystemCounter.BYTES_CURRENTLY_MAPPED, cnc.length + settings.loss_report_buffer_length)
        return cls(
            directory=directory,
            clock=clock,
            cnc=cnc,
            ring=cnc.to_driver(),
            broadcast=cnc.transmitter(),
            counters=counters,
            error_log=cnc.error_log(),
            loss_report=loss_report,
            drop_counters=counters.allocate_drops(),
        )

    def hand_over(self, user_id: int, group_id: int) -> None:
        """Give directory and files to the user that the driver becomes."""
        for path in (self.directory, *self.directory.rglob("*")):
            os.chown(path, user_id, group_id)

    def ready(self) -> None:
        """Let clients in: take the first correlation id, set the heartbeat, store the version (shm 1.4, 2.4)."""
        self.ring.next_correlation_id()
        self.ring.set_heartbeat_ms(self.clock.epoch_ms())
        self.cnc.ready()

    def close(self, *, delete: bool) -> None:
        """Tell clients that the driver is gone and unmap; after the agents have stopped (shm 1.6)."""
        self.counters.free_system()
        self.ring.set_heartbeat_ms(HEARTBEAT_CLOSED)
        self.error_log.close()
        self.counters.close()
        self.loss_report.close()
        self.cnc.close()
        for log in self.directory.glob("*/*.logbuffer"):
            log.unlink(missing_ok=True)
        if delete:
            try:
                remove_directory(self.directory)
            except (FramelaneError, OSError) as error:
                logger.warning("directory not removed", directory=str(self.directory), error=str(error))
