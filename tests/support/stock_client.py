"""The stock C client within this process, built with its headers: the compiler sees that both mean the same.

Its conductor runs as a thread of its own. All waits are bounded.
"""

from __future__ import annotations

import importlib.util
from collections import defaultdict
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from types import ModuleType
from typing import Any

from cffi import FFI

from support.processes import wait_until

__all__ = ["StockClient", "StockClientError", "StockPublication", "StockSubscription", "build_stock_client", "stream"]

_NAME = "_stock_client"
_DECLARATIONS = """
typedef struct aeron_context_stct aeron_context_t;
typedef struct aeron_stct aeron_t;
typedef struct aeron_exclusive_publication_stct aeron_exclusive_publication_t;
typedef struct aeron_subscription_stct aeron_subscription_t;
typedef struct aeron_image_stct aeron_image_t;
typedef struct aeron_header_stct aeron_header_t;
typedef ... aeron_async_add_exclusive_publication_t;
typedef ... aeron_async_add_subscription_t;
typedef ... aeron_async_destination_t;
typedef struct { int32_t session_id; int64_t registration_id; ...; } aeron_publication_constants_t;
typedef struct { int64_t registration_id; ...; } aeron_subscription_constants_t;
typedef struct { int64_t correlation_id; int64_t join_position; int32_t session_id; ...; } aeron_image_constants_t;
typedef struct { int32_t session_id; ...; } aeron_header_values_frame_t;
typedef struct { aeron_header_values_frame_t frame; ...; } aeron_header_values_t;

const char *aeron_errmsg(void);
int aeron_context_init(aeron_context_t **context);
int aeron_context_set_dir(aeron_context_t *context, const char *value);
int aeron_context_close(aeron_context_t *context);
int aeron_init(aeron_t **client, aeron_context_t *context);
int aeron_start(aeron_t *client);
int aeron_close(aeron_t *client);

int aeron_async_add_exclusive_publication(
    aeron_async_add_exclusive_publication_t **async, aeron_t *client, const char *uri, int32_t stream_id);
int aeron_async_add_exclusive_publication_poll(
    aeron_exclusive_publication_t **publication, aeron_async_add_exclusive_publication_t *async);
int aeron_exclusive_publication_async_add_destination(
    aeron_async_destination_t **async, aeron_t *client, aeron_exclusive_publication_t *publication, const char *uri);
int aeron_exclusive_publication_async_remove_destination(
    aeron_async_destination_t **async, aeron_t *client, aeron_exclusive_publication_t *publication, const char *uri);
int aeron_exclusive_publication_async_destination_poll(aeron_async_destination_t *async);
int64_t aeron_exclusive_publication_offer(
    aeron_exclusive_publication_t *publication, const uint8_t *buffer, size_t length, void *supplier, void *context);
int aeron_exclusive_publication_constants(
    aeron_exclusive_publication_t *publication, aeron_publication_constants_t *constants);
int64_t aeron_exclusive_publication_position(aeron_exclusive_publication_t *publication);
bool aeron_exclusive_publication_is_connected(aeron_exclusive_publication_t *publication);
int aeron_exclusive_publication_close(
    aeron_exclusive_publication_t *publication, void *on_close, void *context);

int aeron_async_add_subscription(
    aeron_async_add_subscription_t **async, aeron_t *client, const char *uri, int32_t stream_id,
    void *on_available, void *available, void *on_unavailable, void *unavailable);
int aeron_async_add_subscription_poll(aeron_subscription_t **subscription, aeron_async_add_subscription_t *async);
int aeron_subscription_async_add_destination(
    aeron_async_destination_t **async, aeron_t *client, aeron_subscription_t *subscription, const char *uri);
int aeron_subscription_async_remove_destination(
    aeron_async_destination_t **async, aeron_t *client, aeron_subscription_t *subscription, const char *uri);
int aeron_subscription_async_destination_poll(aeron_async_destination_t *async);
int aeron_subscription_constants(aeron_subscription_t *subscription, aeron_subscription_constants_t *constants);
int aeron_subscription_image_count(aeron_subscription_t *subscription);
aeron_image_t *aeron_subscription_image_at_index(aeron_subscription_t *subscription, size_t index);
int aeron_subscription_image_release(aeron_subscription_t *subscription, aeron_image_t *image);
int aeron_image_constants(aeron_image_t *image, aeron_image_constants_t *constants);
int aeron_header_values(aeron_header_t *header, aeron_header_values_t *values);
int aeron_subscription_poll(
    aeron_subscription_t *subscription, void (*handler)(void *, const uint8_t *, size_t, aeron_header_t *),
    void *context, size_t limit);
int aeron_subscription_close(aeron_subscription_t *subscription, void *on_close, void *context);

extern "Python" void fl_take(void *context, const uint8_t *payload, size_t length, aeron_header_t *header);
"""
_SOURCE = """
#include "aeronc.h"
static void fl_take(void *context, const uint8_t *payload, size_t length, aeron_header_t *header);
"""


class StockClientError(Exception):
    """The stock client refused, or its driver did; the text is the client's."""


def build_stock_client(headers: Path, libraries: Path, into: Path) -> ModuleType:
    """Compile the module that the clients are used through, and import it."""
    builder = FFI()
    builder.cdef(_DECLARATIONS)
    builder.set_source(
        _NAME,
        _SOURCE,
        include_dirs=[str(headers)],
        library_dirs=[str(libraries)],
        libraries=["aeron"],
        runtime_library_dirs=[str(libraries)],
        extra_compile_args=["-Werror=incompatible-pointer-types", "-O1"],
    )
    path = builder.compile(tmpdir=str(into))
    specification = importlib.util.spec_from_file_location(_NAME, path)
    assert specification is not None and specification.loader is not None
    module = importlib.util.module_from_spec(specification)
    specification.loader.exec_module(module)

    @module.ffi.def_extern()
    def fl_take(context: Any, payload: Any, length: int, header: Any) -> None:
        values = module.ffi.new("aeron_header_values_t *")
        module.lib.aeron_header_values(header, values)
        received = module.ffi.from_handle(context)
        received[values.frame.session_id].append(bytes(module.ffi.buffer(payload, length)))

    return module


class _Named:
    def __init__(self, client: StockClient, native: Any) -> None:
        self._client, self._native = client, native
        self._lib, self._ffi = client.module.lib, client.module.ffi

    def _change(self, what: str, kind: str, uri: str) -> None:
        asked = self._ffi.new("aeron_async_destination_t **")
        ask = getattr(self._lib, f"aeron_{kind}_async_{what}_destination")
        poll = getattr(self._lib, f"aeron_{kind}_async_destination_poll")
        self._client.check(ask(asked, self._client.native, self._native, uri.encode()))
        wait_until(lambda: self._client.check(poll(asked[0])) > 0, f"{what} destination {uri}", 10)


class StockPublication(_Named):
    """An exclusive publication.

    :ivar sent: how many messages were taken.
    """

    def __init__(self, client: StockClient, native: Any) -> None:
        super().__init__(client, native)
        constants = self._ffi.new("aeron_publication_constants_t *")
        client.check(self._lib.aeron_exclusive_publication_constants(native, constants))
        self.session_id: int = constants.session_id
        self.registration_id: int = constants.registration_id
        self.sent = 0

    @property
    def is_connected(self) -> bool:
        return bool(self._lib.aeron_exclusive_publication_is_connected(self._native))

    @property
    def position(self) -> int:
        return int(self._lib.aeron_exclusive_publication_position(self._native))

    def offer(self, message: bytes) -> bool:
        """Offer a message once; tells whether it was taken."""
        null = self._ffi.NULL
        offer = self._lib.aeron_exclusive_publication_offer
        taken = bool(offer(self._native, message, len(message), null, null) > 0)
        self.sent += taken
        return taken

    def add_destination(self, uri: str) -> None:
        self._change("add", "exclusive_publication", uri)

    def remove_destination(self, uri: str) -> None:
        self._change("remove", "exclusive_publication", uri)

    def close(self) -> None:
        null = self._ffi.NULL
        self._client.check(self._lib.aeron_exclusive_publication_close(self._native, null, null))


@dataclass(frozen=True)
class Image:
    correlation_id: int
    session_id: int
    join_position: int


class StockSubscription(_Named):
    """A subscription.

    :ivar received: what was polled, in order, by session.
    """

    def __init__(self, client: StockClient, native: Any) -> None:
        super().__init__(client, native)
        constants = self._ffi.new("aeron_subscription_constants_t *")
        client.check(self._lib.aeron_subscription_constants(native, constants))
        self.registration_id: int = constants.registration_id
        self.received: defaultdict[int, list[bytes]] = defaultdict(list)
        self._handle = self._ffi.new_handle(self.received)

    @contextmanager
    def _each_image(self) -> Iterator[list[Any]]:
        count = self._lib.aeron_subscription_image_count(self._native)
        found = [self._lib.aeron_subscription_image_at_index(self._native, i) for i in range(count)]
        found = [one for one in found if one != self._ffi.NULL]
        try:
            yield found
        finally:
            for one in found:
                self._lib.aeron_subscription_image_release(self._native, one)

    @property
    def images(self) -> list[Image]:
        constants = self._ffi.new("aeron_image_constants_t *")
        seen = []
        with self._each_image() as found:
            for one in found:
                self._client.check(self._lib.aeron_image_constants(one, constants))
                seen.append(Image(constants.correlation_id, constants.session_id, constants.join_position))
        return seen

    def wait_for_image(self, session_id: int | None = None) -> Image:
        """Wait for an image, of a session if one is given."""

        def find() -> Image | None:
            return next((one for one in self.images if session_id in (None, one.session_id)), None)

        image = wait_until(find, "an image", 10)
        assert image is not None
        return image

    def poll(self, limit: int = 10) -> int:
        return self._client.check(
            self._lib.aeron_subscription_poll(self._native, self._lib.fl_take, self._handle, limit)
        )

    def add_destination(self, uri: str) -> None:
        self._change("add", "subscription", uri)

    def remove_destination(self, uri: str) -> None:
        self._change("remove", "subscription", uri)

    def close(self) -> None:
        null = self._ffi.NULL
        self._client.check(self._lib.aeron_subscription_close(self._native, null, null))


class StockClient:
    """A client of a driver's directory."""

    def __init__(self, module: ModuleType, directory: Path) -> None:
        self.module = module
        self._context = module.ffi.new("aeron_context_t **")
        client = module.ffi.new("aeron_t **")
        self.check(module.lib.aeron_context_init(self._context))
        self.check(module.lib.aeron_context_set_dir(self._context[0], str(directory).encode()))
        self.check(module.lib.aeron_init(client, self._context[0]))
        self.native = client[0]
        self.check(module.lib.aeron_start(self.native))

    def check(self, result: int) -> int:
        if result < 0:
            raise StockClientError(self.module.ffi.string(self.module.lib.aeron_errmsg()).decode())
        return result

    def _add(self, kind: str, channel: str, stream_id: int, *more: Any) -> Any:
        asked = self.module.ffi.new(f"aeron_async_add_{kind}_t **")
        made = self.module.ffi.new(f"aeron_{kind}_t **")
        add = getattr(self.module.lib, f"aeron_async_add_{kind}")
        poll = getattr(self.module.lib, f"aeron_async_add_{kind}_poll")
        self.check(add(asked, self.native, channel.encode(), stream_id, *more))
        wait_until(lambda: self.check(poll(made, asked[0])) > 0, f"{kind} {channel}", 10)
        return made[0]

    def publish(self, channel: str, stream_id: int = 1001) -> StockPublication:
        return StockPublication(self, self._add("exclusive_publication", channel, stream_id))

    def subscribe(self, channel: str, stream_id: int = 1001) -> StockSubscription:
        nothing = [self.module.ffi.NULL] * 4
        return StockSubscription(self, self._add("subscription", channel, stream_id, *nothing))

    def close(self) -> None:
        self.check(self.module.lib.aeron_close(self.native))
        self.check(self.module.lib.aeron_context_close(self._context[0]))


def stream(publication: StockPublication, subscriptions: Sequence[StockSubscription], count: int) -> None:
    """Send messages of many lengths until all the subscriptions have them, in order and after whatever they had."""
    number = publication.sent
    messages = [(number + i).to_bytes(8, "little") * (1 + i % 150) for i in range(count)]
    waiting = list(reversed(messages))
    arrived = [one.received[publication.session_id] for one in subscriptions]

    def turn() -> bool:
        for _ in range(20):
            if waiting and publication.offer(waiting[-1]):
                waiting.pop()
        for one in subscriptions:
            one.poll(50)
        return all(one and one[-1] == messages[-1] for one in arrived)

    wait_until(turn, "the last message at all subscriptions", 20)
    for one in arrived:
        assert one[-count:] == messages
