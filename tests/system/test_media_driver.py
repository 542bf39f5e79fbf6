"""Drivers with threads, over the sockets of this host."""

from __future__ import annotations

import ctypes
import os
import subprocess
import sys
import tempfile
import threading
import time
from dataclasses import replace
from ipaddress import ip_address
from pathlib import Path

import pytest

from framelane import MediaDriver
from framelane.driver.clock import Clock
from framelane.driver.installed import Installed
from framelane.driver.media_driver import Surroundings
from framelane.driver.settings import load_settings
from framelane.driver.transports import Choice
from framelane.driver.verdicts import read_verdicts
from framelane.errors import ConfigError, FramelaneError, TransportError
from framelane.protocol.commands import (
    AddPublication,
    AddSubscription,
    RemovePublication,
    TerminateDriver,
)
from framelane.protocol.events import (
    AvailableImage,
    ClientTimeout,
    OperationSuccess,
    PublicationReady,
    SubscriptionReady,
    UnavailableImage,
)
from framelane.shm.cnc import CNC_FILE, CncFile
from framelane.testing.simulation import CommandClient, RealDriver
from framelane.transport.selection import Chosen, PassedOver
from support.commanding import deliver, numbered, publish, subscribe

AGENTS = {"conductor", "sender", "receiver", "network", "shared"}
SMALL = {"counters_buffer_length": "1m", "term_buffer_length": "64k", "ipc_term_buffer_length": "64k"}


def settings(directory, transport=(), **values):
    overrides = [f"driver.{key}={value}" for key, value in {"dir": directory, **SMALL, **values}.items()]
    return load_settings(environ={}, overrides=[*overrides, *transport])


@pytest.fixture
def launch(tmp_path):
    launched = []

    def launch(surroundings=None, **values):
        driver = MediaDriver.launch(settings(tmp_path / "aeron", **values), surroundings=surroundings)
        launched.append(driver)
        return driver

    yield launch
    for driver in launched:
        driver.close()


@pytest.fixture
def attach():
    attached = []

    def attach(driver):
        client = CommandClient(RealDriver(driver.directory))
        attached.append(client)
        return client

    yield attach
    for client in attached:
        client.detach()


@pytest.mark.parametrize("mode", ["DEDICATED", "SHARED_NETWORK", "SHARED", "AUTO"])
def test_a_stream_over_loopback_comes_and_goes(launch, attach, mode):
    driver = launch(threading_mode=mode, timer_interval="100ms")
    client = attach(driver)
    subscription = subscribe(client, "aeron:udp?endpoint=127.0.0.1:0")
    status = client.counters.get(subscription.channel_status_counter_id)
    ready = publish(client, f"aeron:udp?endpoint={status.label.rpartition(' ')[2]}")
    image = client.wait(AvailableImage)

    deliver(client.world, [client.writer(ready)], [client.reader(image)], [client], numbered(2000))
    client.call(RemovePublication, OperationSuccess, registration_id=ready.correlation_id, flags=0)
    client.wait(UnavailableImage)

    assert driver.threading_mode == mode or mode == "AUTO"
    assert driver.transports == ["sockets"]
    (served, *_) = read_verdicts(client.counters)
    assert (served.transport, served.status) == ("sockets", 1)
    assert not client.cnc.errors()


def test_the_driver_is_ready_within_a_second_and_tells_when_it_is_gone(launch, attach):
    took = []
    for _ in range(3):  # once within it is enough: the machine may have other things to do
        began = time.monotonic()
        driver = launch()
        took.append(time.monotonic() - began)
        if min(took) < 1.0:
            break
        driver.close()
    assert min(took) < 1.0
    client = attach(driver)

    driver.close()
    driver.close()

    assert client.ring.heartbeat_ms() == -1


def test_a_clean_close_removes_the_directory_if_asked(tmp_path):
    directory = tmp_path / "aeron"
    with MediaDriver.launch(settings(directory, dir_delete_on_shutdown=True)):
        assert (directory / CNC_FILE).exists()
    assert not directory.exists()


def test_a_forked_child_neither_ends_nor_harms_the_driver(launch, attach):
    driver = launch()
    client = attach(driver)
    child = os.fork()
    if child == 0:
        driver.close()
        os._exit(0)
    os.waitpid(child, 0)

    assert client.ring.heartbeat_ms() > 0
    assert client.call(AddPublication, PublicationReady, stream_id=7, channel="aeron:ipc")


def test_a_slow_name_holds_back_later_commands_but_neither_timers_nor_streams(launch, attach):
    release = threading.Event()

    class Slow:
        def resolve(self, host, parameter):
            assert release.wait(60)
            return ip_address("127.0.0.1")

    driver = launch(Surroundings(resolver=Slow()), timer_interval="50ms", client_liveness_timeout="200ms")
    client, dying = attach(driver), attach(driver)
    dying.call(AddPublication, PublicationReady, stream_id=7, channel="aeron:ipc")
    slow = client.send(AddPublication, stream_id=7, channel="aeron:udp?endpoint=name:40123")
    later = client.send(AddPublication, stream_id=8, channel="aeron:ipc")

    client.wait(ClientTimeout)
    answered = [event.correlation_id for event in client.events if isinstance(event, PublicationReady)]
    release.set()
    client.wait(PublicationReady, lambda event: event.correlation_id == later)

    answers = [event.correlation_id for event in client.events if isinstance(event, PublicationReady)]
    assert later not in answered
    assert answers[-2:] == [slow, later]


CHILD = """
import sys, time
from pathlib import Path
from framelane.shm.cnc import CNC_FILE, CncFile
cnc = CncFile.map(Path(sys.argv[1]) / CNC_FILE)
cnc.find_sections()
ring, counters = cnc.to_driver(), cnc.counters()
heartbeat = int(sys.argv[2])
oldest, end = 0, time.monotonic() + float(sys.argv[3])
print("watching", flush=True)
while time.monotonic() < end:
    now = time.time_ns() // 1_000_000
    oldest = max(oldest, now - ring.heartbeat_ms())
    counters.set_value(heartbeat, now)
    time.sleep(0.01)
print(oldest)
"""


def test_an_application_that_holds_the_interpreter_lock_costs_no_client_its_life(launch, attach):
    driver = launch(
        timer_interval="100ms", client_liveness_timeout="1s", publication_unblock_timeout="2s", threading_mode="SHARED"
    )
    client = attach(driver)
    client.call(AddPublication, PublicationReady, stream_id=7, channel="aeron:ipc")
    heartbeat = client.events[0].counter_id
    arguments = [sys.executable, "-c", CHILD, str(driver.directory), str(heartbeat), "4"]
    with subprocess.Popen(arguments, stdout=subprocess.PIPE, text=True) as child:
        assert child.stdout.readline() == "watching\n"
        later = client.send(AddPublication, stream_id=8, channel="aeron:ipc")
        ctypes.PyDLL(None).sleep(3)
        client.wait(PublicationReady, lambda event: event.correlation_id == later)
        oldest_ms = int(child.stdout.read())

    assert oldest_ms < 1000
    assert ClientTimeout not in [type(event) for event in client.events]


def test_the_default_window_fits_the_default_buffer_of_the_system(launch, attach):
    client = attach(launch(socket_so_rcvbuf="0"))

    client.call(
        AddSubscription,
        SubscriptionReady,
        registration_correlation_id=-1,
        stream_id=7,
        channel="aeron:udp?endpoint=127.0.0.1:0",
    )


def test_a_window_beyond_what_the_system_grants_fails_the_start_and_leaves_nothing(tmp_path):
    with pytest.raises(ConfigError, match="rcv_initial_window_length = 1073741824: does not fit"):
        MediaDriver.launch(settings(tmp_path / "aeron", rcv_initial_window_length="1g"))

    assert not (tmp_path / "aeron").exists()


def test_a_required_transport_that_cannot_be_had_fails_the_start_and_leaves_nothing(tmp_path, monkeypatch):
    directory = tmp_path / "aeron"

    with pytest.raises(TransportError, match=r'transport.require = "dpdk" cannot be met'):
        MediaDriver.launch(settings(directory, ['transport.require="dpdk"', 'transport.use=["sockets"]']))

    assert not directory.exists()


def test_a_transport_that_was_passed_over_is_shown_with_the_reason(tmp_path, attach):
    absent = 'transport.vma.library="/nowhere/libvma.so"'
    wanted = settings(tmp_path / "aeron", ['transport.use=["vma", "sockets"]', absent])
    with MediaDriver.launch(wanted) as driver:
        client = attach(driver)
        client.call(AddPublication, PublicationReady, stream_id=7, channel="aeron:udp?endpoint=127.0.0.1:40123")

        (served,) = read_verdicts(client.counters)
        fallbacks = [counter.value for counter in client.counters if counter.type_id == 7702]

    assert served.transport == "sockets"
    ((name, why),) = served.passed_over
    assert name == "vma"
    assert "vma is not usable: the library /nowhere/libvma.so" in why
    assert fallbacks == [1]


def test_a_user_that_does_not_exist_is_named_before_anything_is_made(tmp_path):
    with pytest.raises(ConfigError, match="no user 'nobody-here'"):
        MediaDriver.launch(settings(tmp_path / "aeron", user="nobody-here"))

    assert not (tmp_path / "aeron").exists()


def test_a_driver_that_cannot_close_everything_says_so_and_stops_its_threads(launch, attach, monkeypatch):
    driver = launch()
    client = attach(driver)
    client.call(AddPublication, PublicationReady, stream_id=7, channel="aeron:udp?endpoint=127.0.0.1:40123")
    close = driver.nouns.transports.close

    def fail():
        raise RuntimeError("a device is stuck")

    monkeypatch.setattr(driver.nouns.transports, "close", fail)
    with pytest.raises(FramelaneError, match="did not end cleanly: a device is stuck"):
        driver.close()

    assert client.ring.heartbeat_ms() == -1
    assert not [one for one in Path("/proc/self/task").glob("*/comm") if one.read_text().strip() in AGENTS]
    close()
    driver.plane.free()


def test_an_endpoint_that_something_still_holds_is_closed_with_the_driver(launch, attach):
    driver = launch()
    subscription = {"registration_correlation_id": -1, "stream_id": 7, "channel": "aeron:udp?endpoint=127.0.0.1:0"}
    attach(driver).call(AddSubscription, SubscriptionReady, **subscription)
    for endpoint in driver.nouns.receive_endpoints:
        endpoint.references += 1

    driver.close()

    assert len(driver.nouns.receive_endpoints) == 0


DEAF = """
import sys, time
from pathlib import Path
from framelane.driver.media_driver import MediaDriver, Surroundings
from framelane.driver.settings import load_settings
from framelane.protocol.commands import AddPublication
from framelane.testing.simulation import CommandClient, RealDriver, RealTime

asked = []

class Deaf:
    def resolve(self, host, parameter):
        asked.append(host)
        time.sleep(60)

overrides = [f"driver.dir={sys.argv[1]}", "driver.dir_delete_on_shutdown=true", "driver.counters_buffer_length=1m"]
driver = MediaDriver.launch(load_settings(environ={}, overrides=overrides), surroundings=Surroundings(resolver=Deaf()))
client = CommandClient(RealDriver(Path(sys.argv[1])))
client.send(AddPublication, stream_id=7, channel="aeron:udp?endpoint=nobody:40123")
RealTime().run_until(lambda: asked, "a look-up")
client.detach()
driver.close()
"""


def test_a_name_server_that_does_not_answer_does_not_keep_a_process_from_ending(tmp_path):
    command = [sys.executable, "-c", DEAF, str(tmp_path / "aeron")]

    ended = subprocess.run(command, timeout=60, check=False)

    assert ended.returncode == 0
    assert not (tmp_path / "aeron").exists()


DROP = """
import os, sys
from pathlib import Path
from framelane import MediaDriver
from framelane.driver.settings import load_settings
from framelane.protocol.commands import AddPublication
from framelane.protocol.events import PublicationReady
from framelane.testing.simulation import CommandClient, RealDriver
from framelane.transport.selection import Chosen, PassedOver
overrides = [f"driver.dir={sys.argv[1]}", "driver.user=nobody", "driver.counters_buffer_length=1m"]
late = []
sys.addaudithook(lambda event, details: late.append(details[0]) if event == "import" and os.geteuid() != 0 else None)
with MediaDriver.launch(load_settings(environ={}, overrides=overrides)) as driver:
    client = CommandClient(RealDriver(driver.directory))
    ready = client.call(AddPublication, PublicationReady, stream_id=7, channel="aeron:ipc")
    print(os.stat(ready.log_file).st_uid, {line.split()[1] for line in open("/proc/self/status") if line[:4] == "Uid:"})
    client.call(AddPublication, PublicationReady, stream_id=8, channel="aeron:udp?endpoint=localhost:" + sys.argv[2])
    client.detach()
print(late)
"""


@pytest.mark.root
def test_privileges_are_dropped_in_all_threads_and_the_driver_works_with_what_it_has_imported(port):
    import pwd

    nobody = pwd.getpwnam("nobody").pw_uid

    with tempfile.TemporaryDirectory(dir="/dev/shm", prefix="framelane-test-") as folder:
        Path(folder).chmod(0o755)  # pytest's own folders are closed to others
        done = subprocess.run(
            [sys.executable, "-c", DROP, f"{folder}/aeron", str(port)],
            capture_output=True,
            text=True,
            timeout=60,
            check=False,
        )

    assert done.stdout == f"{nobody} {{'{nobody}'}}\n[]\n", done.stderr


def test_a_killed_driver_is_replaced_after_its_timeout(tmp_path):
    directory = tmp_path / "aeron"
    code = f"""
import os, signal
from framelane.driver.settings import load_settings
from framelane import MediaDriver
driver = MediaDriver.launch(load_settings(environ={{}}, overrides=["driver.dir={directory}"]))
os.kill(os.getpid(), signal.SIGKILL)
"""
    subprocess.run([sys.executable, "-c", code], check=False, timeout=60)
    old = CncFile.map(directory / CNC_FILE)
    old.close()
    again = settings(directory, driver_timeout=200)
    time.sleep(0.3)  # the timeout itself is what is tested

    with MediaDriver.launch(again) as driver:
        assert driver.directory == directory


def test_the_control_thread_sleeps_while_a_command_waits_for_a_name(launch, attach):
    release = threading.Event()

    class Slow:
        def resolve(self, host, parameter):
            assert release.wait(60)
            return ip_address("127.0.0.1")

    driver = launch(Surroundings(resolver=Slow()), threading_mode="SHARED", shared_idle_strategy="wait")
    client = attach(driver)
    client.send(AddPublication, stream_id=7, channel="aeron:udp?endpoint=name:40123")
    later = [client.send(AddPublication, stream_id=8, channel="aeron:ipc") for _ in range(10)][-1]
    control = next(thread for thread in threading.enumerate() if thread.name == "framelane-control")
    time.sleep(0.2)  # the commands have been read by then, or the driver has nothing to spin on
    clock = time.pthread_getcpuclockid(control.ident)
    began_s = time.clock_gettime(clock)
    time.sleep(1.0)  # the time over which the thread's use of the processor is measured
    used_s = time.clock_gettime(clock) - began_s
    release.set()

    assert client.wait(PublicationReady, lambda event: event.correlation_id == later)
    assert used_s < 0.1


def test_an_invoker_makes_no_thread(launch, attach):
    before = set(Path("/proc/self/task").iterdir())
    driver = launch(threading_mode="INVOKER")
    client = attach(driver)
    correlation_id = client.send(AddPublication, stream_id=7, channel="aeron:udp?endpoint=127.0.0.1:40123")
    while not client.receive():
        driver.do_work()

    assert client.wait(PublicationReady, lambda event: event.correlation_id == correlation_id)
    assert set(Path("/proc/self/task").iterdir()) <= before


def test_a_transport_that_cannot_be_opened_is_passed_over_with_its_error(tmp_path, attach):
    opened = []

    class Source:
        def __init__(self, installed):
            self.installed = installed

        def choose(self, wanted, without):
            if "first" not in without:
                return Choice(Chosen(wanted.label, "first", "It is first."))
            choice = self.installed.choose(wanted, {})
            passed_over = (PassedOver("first", f"first {without['first']}.", is_failure=True),)
            return replace(choice, chosen=replace(choice.chosen, passed_over=passed_over))

        def open(self, name):
            opened.append(name)
            if name == "first":
                raise TransportError("the device is on fire")
            return self.installed.open(name)

    wanted = settings(tmp_path / "aeron")
    installed = Installed(wanted, Clock(), 1)
    with MediaDriver.launch(wanted, surroundings=Surroundings(transports=Source(installed))) as driver:
        client = attach(driver)
        client.call(AddPublication, PublicationReady, stream_id=7, channel="aeron:udp?endpoint=127.0.0.1:40123")

        (served,) = read_verdicts(client.counters)
        errors = [entry.text for entry in client.cnc.errors()]
    installed.close()

    assert opened == ["first", "sockets"]
    assert served.transport == "sockets"
    assert served.passed_over == (("first", "first could not be opened: the device is on fire."),)
    assert any("the device is on fire" in text for text in errors)


def test_a_client_that_may_end_the_driver_does(launch, attach):
    driver = MediaDriver.launch(
        settings(launch().directory.parent / "other", driver_termination_validator="allow"),
        on_termination=lambda: driver.close(),
    )
    client = attach(driver)

    client.send(TerminateDriver, token=b"")

    client.world.run_until(lambda: client.ring.heartbeat_ms() == -1, "the driver is gone")
