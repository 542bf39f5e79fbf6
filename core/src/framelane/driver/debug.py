"""Test aids of a live driver: faults on what its transports carry, and a capture of it (design 4.2)."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from framelane.driver.log import logger
from framelane.driver.values import Duration, Kind
from framelane.transport.native import OpenTransport
from framelane.transport.wrappers import FaultDirection, wrap_capture, wrap_faults

__all__ = ["Faults", "wrap_for_debugging"]

_PROBABILITIES = ("loss", "duplicate", "reorder", "corrupt")
_DURATIONS = {"delay": "delay_ns", "jitter": "jitter_ns"}
_DURATION = Duration(minimum=0, maximum=10_000_000_000)


@dataclass(frozen=True)
class Faults(Kind):
    """What happens to datagrams, such as ``loss=0.01,reorder=0.02,delay=1ms``; empty text is nothing."""

    @property
    def accepts(self) -> str:
        return "NAME=VALUE,...: " + ", ".join((*_PROBABILITIES, *_DURATIONS))

    def parse(self, raw: object) -> FaultDirection | None:
        if not isinstance(raw, str):
            raise ValueError("expected text such as loss=0.01,duplicate=0.01")
        values: dict[str, float] = {}
        for part in filter(None, raw.split(",")):
            name, _, text = part.strip().partition("=")
            if name in _PROBABILITIES:
                values[name] = _probability(name, text)
            elif name in _DURATIONS:
                values[_DURATIONS[name]] = _DURATION.parse(text)
            else:
                raise ValueError(f"{name!r} is none of {', '.join((*_PROBABILITIES, *_DURATIONS))}")
        return FaultDirection(**values) if values else None  # type: ignore[arg-type]

    def show(self, value: FaultDirection | None) -> str:
        if value is None:
            return ""
        shown = {name: str(getattr(value, name)) for name in _PROBABILITIES if getattr(value, name)}
        shown |= {name: f"{getattr(value, key)}ns" for name, key in _DURATIONS.items() if getattr(value, key)}
        return ",".join(f"{name}={text}" for name, text in shown.items())


def _probability(name: str, text: str) -> float:
    try:
        value = float(text)
    except ValueError:
        value = -1.0
    if not 0.0 <= value <= 1.0:
        raise ValueError(f"{name} is a probability from 0 to 1, not {text!r}")
    return value


def wrap_for_debugging(
    transport: OpenTransport,
    *,
    send: FaultDirection | None,
    receive: FaultDirection | None,
    seed: int,
    capture: Path | None,
) -> OpenTransport:
    """Put the wrappers that the settings ask for around an open transport.

    The capture is the inner one: it has what is on the wire, after the faults of sending and before those of receiving.

    :param capture: a pcap file; the transport's name is put before its suffix.
    """
    if capture is not None:
        path = capture.with_name(f"{capture.stem}-{transport.name}{capture.suffix}")
        logger.warning("capture", transport=transport.name, path=str(path))
        transport = wrap_capture(transport, path).transport
    if send is not None or receive is not None:
        show = Faults().show
        logger.warning("faults", transport=transport.name, send=show(send), receive=show(receive), seed=seed)
        injector = wrap_faults(transport, seed=seed)
        injector.configure(send=send, receive=receive)
        transport = injector.transport
    return transport
