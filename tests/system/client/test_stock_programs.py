"""The client and its commands with the stock sample programs at the other end; PEERS names them."""

import subprocess
import sys
from collections.abc import Callable
from typing import Any

import pytest

from framelane.client import Client

pytestmark = pytest.mark.interop

MESSAGES = 1_000_000
LIMIT_S = 60


def test_a_million_messages_of_a_stock_publisher_arrive(
    driver: Any, wait: Callable[..., None], udp: str, stock_program: Callable[[str], str]
) -> None:
    with Client(driver.directory) as client:
        subscription = client.add_subscription(udp, 1001)
        command = [stock_program("streaming_publisher"), "-p", str(driver.directory), "-c", udp]
        command += ["-s", "1001", "-L", "32", "-m", str(MESSAGES), "-l", "1"]
        publisher = subprocess.Popen(command, stdout=subprocess.DEVNULL)
        received = 0
        short = 0

        def is_done() -> bool:
            nonlocal received, short
            batch = subscription.poll_batch(1024)
            received += len(batch)
            short += sum(1 for length in batch.lengths if length != 32) if batch else 0
            return received >= MESSAGES

        try:
            wait(is_done)
        finally:
            publisher.kill()
            publisher.wait()
        assert (received, short) == (MESSAGES, 0)


def test_a_stock_ping_measures_our_pong(
    driver: Any, free_port: Callable[[], int], stock_program: Callable[[str], str]
) -> None:
    there, back = (f"aeron:udp?endpoint=127.0.0.1:{free_port()}" for _ in range(2))
    directory = str(driver.directory)
    pong = subprocess.Popen(
        [sys.executable, "-m", "framelane", "pong", "--dir", directory, "-c", there, "-C", back],
        stderr=subprocess.DEVNULL,
    )
    try:
        command = [stock_program("cping"), "-p", directory, "-c", there, "-C", back, "-m", "2000", "-w", "100"]
        done = subprocess.run(command, capture_output=True, text=True, timeout=LIMIT_S, check=True)
        assert "99.9" in done.stdout or "0.99" in done.stdout
    finally:
        pong.kill()
        pong.wait()


def test_our_ping_measures_a_stock_pong(
    driver: Any, free_port: Callable[[], int], stock_program: Callable[[str], str]
) -> None:
    there, back = (f"aeron:udp?endpoint=127.0.0.1:{free_port()}" for _ in range(2))
    directory = str(driver.directory)
    pong = subprocess.Popen(
        [stock_program("cpong"), "-p", directory, "-c", there, "-C", back], stdout=subprocess.DEVNULL
    )
    try:
        command = [sys.executable, "-m", "framelane", "ping", "--dir", directory, "-c", there, "-C", back]
        done = subprocess.run([*command, "-n", "2000"], capture_output=True, text=True, timeout=LIMIT_S, check=False)
        assert done.returncode == 0, done.stderr
        assert "99.9 %" in done.stdout
    finally:
        pong.kill()
        pong.wait()
