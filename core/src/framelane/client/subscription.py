"""Subscriptions: taking messages."""

from __future__ import annotations

import enum
import struct
from collections.abc import Callable, Iterator, Sequence
from typing import TYPE_CHECKING, Any, Self, overload

from framelane._native import ffi, lib
from framelane.client.errors import ClientClosed
from framelane.client.header import Header
from framelane.client.image import Image
from framelane.client.publication import channel_status
from framelane.shm.cnc import CncFile
from framelane.shm.counter_types import ChannelStatus, CounterType, LocalAddressKey
from framelane.shm.handle import check

if TYPE_CHECKING:
    from framelane.client.conductor import Conductor

__all__ = ["Action", "Batch", "FragmentHandler", "Header", "Subscription"]

FragmentHandler = Callable[[memoryview, Header], object]

#: ``fl_fragment_t``: data, length, flags, session id, stream id, position, reserved value, image.
_FRAGMENT = struct.Struct("<QIB3xiiqqQ")
assert ffi.sizeof("fl_fragment_t") == _FRAGMENT.size
_BATCH_LIMIT = 256


class Action(enum.Enum):
    """What a controlled poll does after a message."""

    ABORT = enum.auto()  #: this message comes again; the poll ends
    BREAK = enum.auto()  #: the poll ends behind this message
    COMMIT = enum.auto()  #: the driver learns at once that everything up to here was consumed; go on
    CONTINUE = enum.auto()


class Batch(Sequence[memoryview]):
    """The messages of one poll, as views into the log.

    The batch is over with the next poll of its subscription. A view stays readable memory for as long as it is kept,
    but once the batch is over or released, the publisher may write other messages there. Nothing is made of a message
    before it is asked for: :attr:`lengths` and :attr:`positions` are strided views of what the data plane wrote, for
    NumPy.
    """

    def __init__(self, subscription: Subscription, fragments: Any, count: int, images: dict[int, Image]) -> None:
        self._subscription = subscription
        self._poll_number = subscription.poll_number
        self._count = count
        self._images = images
        self._memory = memoryview(ffi.buffer(fragments, count * _FRAGMENT.size)).toreadonly()

    def __len__(self) -> int:
        return self._count

    @overload
    def __getitem__(self, index: int) -> memoryview: ...
    @overload
    def __getitem__(self, index: slice) -> list[memoryview]: ...
    def __getitem__(self, index: int | slice) -> memoryview | list[memoryview]:
        if isinstance(index, slice):
            return [self._view(i) for i in range(*index.indices(self._count))]
        return self._view(range(self._count)[index])

    def __iter__(self) -> Iterator[memoryview]:
        for address, length, *_, image in _FRAGMENT.iter_unpack(self._memory):
            self._require_current()
            yield view(self._images[image], address, length)

    def _view(self, index: int) -> memoryview:
        self._require_current()
        address, length, *_, image = _FRAGMENT.unpack_from(self._memory, index * _FRAGMENT.size)
        return view(self._images[image], address, length)

    def header(self, index: int) -> Header:
        """Return what is known of a message besides its bytes."""
        self._require_current()
        at = range(self._count)[index] * _FRAGMENT.size
        _, length, flags, session, stream, position, reserved, image = _FRAGMENT.unpack_from(self._memory, at)
        return Header(position, length, flags, session, stream, reserved, self._images[image])

    def items(self) -> Iterator[tuple[memoryview, Header]]:
        """Walk the messages with their headers."""
        for address, length, flags, session, stream, position, reserved, image in _FRAGMENT.iter_unpack(self._memory):
            self._require_current()
            owner = self._images[image]
            yield view(owner, address, length), Header(position, length, flags, session, stream, reserved, owner)

    @property
    def lengths(self) -> memoryview:
        """Bytes of each message, 32-bit unsigned integers."""
        return self._memory.cast("I")[2::12]

    @property
    def positions(self) -> memoryview:
        """Stream position behind each message, 64-bit integers."""
        return self._memory.cast("q")[3::6]

    def release(self, count: int | None = None) -> None:
        """Tell the driver that the first ``count`` messages, or all of them, were consumed; the others come again.

        Without a call the next poll consumes all.
        """
        self._require_current()
        self._subscription.release(self._count if count is None else count)

    def _require_current(self) -> None:
        if self._poll_number != self._subscription.poll_number:
            raise ValueError("the batch is over: its subscription was polled again")


class Subscription:
    """Interest in a stream. Its images are polled by one thread at a time.

    :ivar images: the images at the moment, a new tuple after each change.
    """

    def __init__(
        self,
        conductor: Conductor,
        cnc: CncFile,
        *,
        channel: str,
        stream_id: int,
        registration_id: int,
        channel_status_id: int,
    ) -> None:
        self.channel = channel
        self.stream_id = stream_id
        self.registration_id = registration_id
        self.channel_status_id = channel_status_id  #: counter id, -1 for IPC and spies
        self.images: tuple[Image, ...] = ()
        self._conductor = conductor
        self._counters = cnc.counters()
        self._native = ffi.gc(lib.fl_client_subscription_new(), lib.fl_client_subscription_free)
        self._fragments = ffi.new("fl_fragment_t[]", _BATCH_LIMIT)
        self._capacity = _BATCH_LIMIT
        #: Every image that the fragments of the last poll may name, by native address. Images that left meanwhile stay
        #: until the next poll.
        self._by_address: dict[int, Image] = {}
        self._gone: list[Image] = []
        self.poll_number = 0
        self._is_closed = False

    @property
    def native(self) -> Any:
        """``fl_client_subscription_t *``, for loops in C; lives as long as this object."""
        return self._native

    # ---- polling ----

    def poll(self, handler: FragmentHandler, limit: int, *, assemble: bool = False) -> int:
        """Pass what arrived to a handler, at most ``limit`` fragments; they are consumed.

        An exception in the handler ends the poll behind the fragment that it was given.

        :param assemble: whole messages in place of fragments; ``limit`` counts messages.
        :returns: how many.
        :raises ClientClosed: if the subscription is closed.
        """
        batch = self.poll_batch(limit, assemble=assemble)
        done = 0
        try:
            for data, header in batch.items():
                done += 1
                handler(data, header)
        finally:
            if batch:
                self.release(done)
        return done

    def controlled_poll(
        self, handler: Callable[[memoryview, Header], Action | None], limit: int, *, assemble: bool = False
    ) -> int:
        """Pass what arrived to a handler that says how to go on; ``None`` is ``CONTINUE``.

        :returns: how many fragments were consumed.
        """
        consumed = 0
        while consumed < limit:
            batch = self.poll_batch(limit - consumed, assemble=assemble)
            done = 0
            action: Action | None = None
            try:
                for data, header in batch.items():
                    done += 1
                    action = handler(data, header)
                    if action is Action.ABORT:
                        done -= 1
                    if action in (Action.ABORT, Action.BREAK, Action.COMMIT):
                        break
            finally:
                if batch:
                    self.release(done)
            consumed += done
            if action is not Action.COMMIT:
                break
        return consumed

    def poll_batch(self, limit: int = _BATCH_LIMIT, *, assemble: bool = True) -> Batch:
        """Take what arrived, at most ``limit`` messages, without copying; see :class:`Batch` for how long it is valid.

        :param assemble: ``False``: fragments in place of whole messages.
        :raises ClientClosed: if the subscription is closed.
        """
        self.poll_number += 1
        while self._gone:
            del self._by_address[self._gone.pop().address]
        if limit > self._capacity:
            self._fragments = ffi.new("fl_fragment_t[]", limit)
            self._capacity = limit
        count = lib.fl_client_subscription_poll(self._native, self._fragments, limit, assemble)
        if count < 0:
            self._conductor.require_open()
            raise ClientClosed(f"{self!r} is closed")
        return Batch(self, self._fragments, count, self._by_address)

    def release(self, count: int) -> None:
        """Tell the driver that the first ``count`` fragments of the last poll were consumed; the others come again."""
        lib.fl_client_subscription_release(self._native, count)

    # ---- images ----

    def image_by_session_id(self, session_id: int) -> Image | None:
        return next((image for image in self.images if image.session_id == session_id), None)

    def add_image(self, image: Image) -> None:
        """By the client, when the driver announces an image."""
        # Before the data plane has it: from then on another thread's poll may return its fragments.
        self._by_address[image.address] = image
        before = self.images
        self.images = (*before, image)
        try:
            check(lib.fl_client_subscription_add_image(self._native, image.native))
        except BaseException:
            self.images = before
            del self._by_address[image.address]
            raise

    def remove_image(self, image: Image) -> None:
        """By the client: a poll in progress ends first, and further ones do not see the image."""
        lib.fl_client_subscription_remove_image(self._native, image.native)
        image.close()
        self.images = tuple(other for other in self.images if other is not image)
        self._gone.append(image)

    # ---- state ----

    @property
    def is_connected(self) -> bool:
        """Is there an image that is not closed?"""
        return any(not image.is_closed for image in self.images)

    @property
    def is_closed(self) -> bool:
        return self._is_closed

    @property
    def channel_status(self) -> ChannelStatus:
        """Of the endpoint; always ``ACTIVE`` for IPC and spies."""
        return channel_status(self._counters, self.channel_status_id)

    @property
    def local_addresses(self) -> tuple[str, ...]:
        """Addresses that the endpoint is bound to, such as ``127.0.0.1:40123`` for a channel with port 0."""
        if self.channel_status_id < 0 or self.channel_status is not ChannelStatus.ACTIVE:
            return ()
        return tuple(
            key.address
            for counter in self._counters
            if counter.type_id == CounterType.LOCAL_SOCKET_ADDRESS and counter.value == ChannelStatus.ACTIVE
            if (key := LocalAddressKey.decode(counter.key)).channel_status_counter_id == self.channel_status_id
        )

    def add_destination(self, channel: str) -> int:
        """Add a destination to a subscription with ``control-mode=manual``; returns its registration id."""
        return self._conductor.add_receive_destination(self, channel)

    def remove_destination(self, channel: str) -> None:
        self._conductor.remove_receive_destination(self, channel)

    def close(self) -> None:
        """Give the subscription up, with its images."""
        if not self._is_closed:
            self.mark_closed()
            self._conductor.release_subscription(self)

    def mark_closed(self) -> None:
        """By the client, when it ends."""
        self._is_closed = True
        lib.fl_client_subscription_close(self._native)
        for image in self.images:
            self.remove_image(image)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *exception: object) -> None:
        self.close()

    def __repr__(self) -> str:
        return (
            f"<Subscription {self.registration_id} {self.channel} stream {self.stream_id}"
            f"{' closed' if self._is_closed else ''}>"
        )


def view(image: Image, address: int, length: int) -> memoryview:
    """Return a message in the log as a view of it; one in the assembler's memory, which grows and moves, as a copy."""
    if image.terms_address <= address < image.terms_end:
        offset = address - image.terms_address
        return image.terms[offset : offset + length]
    return memoryview(ffi.unpack(ffi.cast("char *", address), length))
