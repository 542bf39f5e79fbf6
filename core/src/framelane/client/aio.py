"""The client for asyncio.

    async with aio.Client() as client:
        subscription = await client.add_subscription("aeron:udp?endpoint=localhost:20121", 1001)
        async for message in subscription:
            ...

Shared memory has no descriptor to wait for, so waiting is polling: at once while there is work, and then with pauses
that grow to ``longest_pause`` seconds. All of it belongs to one event loop, and no call blocks it.
"""

from __future__ import annotations

import asyncio
import os
from collections import deque
from collections.abc import AsyncIterator, Awaitable, Callable
from typing import TYPE_CHECKING, Any, Self

from framelane.client.client import Client as BlockingClient
from framelane.client.counter import Counter
from framelane.client.errors import ClientClosed, OfferError
from framelane.client.header import Header
from framelane.client.pending import Pending
from framelane.client.publication import Publication as BlockingPublication
from framelane.client.subscription import Subscription as BlockingSubscription

if TYPE_CHECKING:
    from typing_extensions import Buffer

__all__ = ["Client", "Publication", "Subscription"]

_SHORTEST_PAUSE_S = 0.00005
_SPINS = 16
_ANSWER_PAUSE_S = 0.001
_MESSAGES_A_TURN = 256


class _Pauses:
    """Pauses of a wait: none at first, then longer and longer ones."""

    def __init__(self, longest_s: float) -> None:
        self._longest_s = longest_s
        self._turns = 0

    def reset(self) -> None:
        self._turns = 0

    async def pause(self) -> None:
        self._turns += 1
        doublings = self._turns - _SPINS
        await asyncio.sleep(0 if doublings < 0 else min(self._longest_s, _SHORTEST_PAUSE_S * 2 ** min(doublings, 20)))


class Publication:
    """A publication whose offers are awaited. ``blocking`` is the one that it stands for."""

    def __init__(self, client: Client, blocking: BlockingPublication) -> None:
        self._client = client
        self.blocking = blocking

    async def offer(self, message: Buffer, *, timeout: float | None = None, reserved_value: int = 0) -> int:
        """Publish a message as soon as subscribers are there and keep up; return the position behind it.

        :param timeout: seconds; ``None``: wait for ever.
        :raises TimeoutError: if it was not taken in time.
        :raises OfferError: if it cannot be published at all.
        """
        publication = self.blocking
        pauses = _Pauses(self._client.longest_pause)
        async with asyncio.timeout(timeout):
            while (result := publication.offer(message, reserved_value)) < 0:
                if result == publication.CLOSED:
                    raise ClientClosed(f"{publication!r} is closed")
                if result == publication.MAX_POSITION_EXCEEDED:
                    raise OfferError(f"{publication!r} is at its last position; add a new one")
                await pauses.pause()
        return result

    async def wait_connected(self, *, timeout: float | None = None) -> None:
        """Wait until somebody is subscribed.

        :raises TimeoutError: if nobody was in time.
        """
        await self._client.wait_for(lambda: self.blocking.is_connected, timeout)

    def close(self) -> None:
        self.blocking.close()


class Subscription:
    """A subscription whose messages are awaited. ``blocking`` is the one that it stands for."""

    def __init__(self, client: Client, blocking: BlockingSubscription) -> None:
        self._client = client
        self.blocking = blocking
        self._taken: deque[tuple[bytes, Header]] = deque()

    def __aiter__(self) -> AsyncIterator[bytes]:
        return self._messages()

    async def _messages(self) -> AsyncIterator[bytes]:
        async for message, _ in self.items():
            yield message

    async def items(self) -> AsyncIterator[tuple[bytes, Header]]:
        """Walk whole messages, copied, with their headers, until the subscription is closed.

        A loop that is left early is continued by the next one: no message is lost in between.
        """
        subscription = self.blocking
        pauses = _Pauses(self._client.longest_pause)
        while True:
            while self._taken:
                yield self._taken.popleft()
            if subscription.is_closed:
                return
            batch = subscription.poll_batch(_MESSAGES_A_TURN)
            if not batch:
                self._client.blocking.do_work()
                await pauses.pause()
                continue
            pauses.reset()
            # Copied before anybody awaits, so that the driver learns at once that they were consumed.
            self._taken.extend((bytes(data), header) for data, header in batch.items())
            batch.release()
            await asyncio.sleep(0)

    async def wait_connected(self, *, timeout: float | None = None) -> None:
        """Wait until there is an image.

        :raises TimeoutError: if there was none in time.
        """
        await self._client.wait_for(lambda: self.blocking.is_connected, timeout)

    def close(self) -> None:
        self.blocking.close()


class Client:
    """A client whose commands are awaited. ``blocking`` is the one that it stands for, and can do the rest."""

    def __init__(
        self, directory: str | os.PathLike[str] | None = None, *, longest_pause: float = 0.001, **arguments: Any
    ) -> None:
        """Remember what :class:`framelane.client.Client` takes; :meth:`open` attaches."""
        self.longest_pause = longest_pause
        self._make = lambda: BlockingClient(directory, use_invoker=True, **arguments)
        self._blocking: BlockingClient | None = None
        self._worker: asyncio.Task[None] | None = None

    @property
    def blocking(self) -> BlockingClient:
        """:raises ClientClosed: before :meth:`open`."""
        if self._blocking is None:
            raise ClientClosed("the client is not open: use `async with`, or await open()")
        return self._blocking

    async def open(self) -> Self:
        """Attach to the driver, waiting for it on a helper thread."""
        self._blocking = await asyncio.to_thread(self._make)
        self._worker = asyncio.create_task(self._work(), name="framelane-client")
        return self

    async def _work(self) -> None:
        while not self.blocking.is_closed:
            if self.blocking.do_work() == 0:
                await asyncio.sleep(self.longest_pause * 8)
            else:
                await asyncio.sleep(0)

    async def _answer(self, start: Callable[[], Pending]) -> Any:
        pending = start()
        while not self.blocking.is_done(pending):
            await asyncio.sleep(_ANSWER_PAUSE_S)
        return pending.result()

    async def add_publication(self, channel: str, stream_id: int, *, exclusive: bool = False) -> Publication:
        """Add a publication; see :meth:`framelane.client.Client.add_publication`."""
        start = self.blocking.start_publication
        return Publication(self, await self._answer(lambda: start(channel, stream_id, exclusive=exclusive)))

    async def add_subscription(self, channel: str, stream_id: int, **handlers: Any) -> Subscription:
        """Add a subscription; see :meth:`framelane.client.Client.add_subscription`."""
        start = self.blocking.start_subscription
        return Subscription(self, await self._answer(lambda: start(channel, stream_id, **handlers)))

    async def add_counter(self, type_id: int, label: str, key: bytes = b"") -> Counter:
        """Add a counter; see :meth:`framelane.client.Client.add_counter`."""
        counter: Counter = await self._answer(lambda: self.blocking.start_counter(type_id, label, key))
        return counter

    async def wait_for(self, condition: Callable[[], bool], timeout: float | None = None) -> None:
        """Wait until a condition of shared memory holds.

        :raises TimeoutError: if it did not in time.
        """
        pauses = _Pauses(self.longest_pause)
        async with asyncio.timeout(timeout):
            while not condition():
                self.blocking.do_work()
                await pauses.pause()

    async def close(self) -> None:
        """Close everything that was added."""
        if self._worker is not None:
            self._worker.cancel()
            await asyncio.gather(self._worker, return_exceptions=True)
        if self._blocking is not None:
            self._blocking.close()

    async def __aenter__(self) -> Self:
        return await self.open()

    def __aexit__(self, *exception: object) -> Awaitable[None]:
        return self.close()
