"""What a subscription knows of its images."""

from __future__ import annotations

from types import SimpleNamespace

import pytest

from framelane._native import lib
from framelane.client import subscription as module
from framelane.client.subscription import Subscription
from framelane.errors import NativeError


class Lib:
    """The native library, with an ``add_image`` that looks around."""

    def __init__(self, subscription: list[Subscription], result: int) -> None:
        self.listed: list[int] = []
        self._subscription = subscription
        self._result = result

    def __getattr__(self, name: str) -> object:
        return getattr(lib, name)

    def fl_client_subscription_add_image(self, _native: object, _image: object) -> int:
        self.listed.append(len(self._subscription[0].images))
        return self._result


def make(monkeypatch: pytest.MonkeyPatch, result: int) -> tuple[Subscription, Lib]:
    made: list[Subscription] = []
    fake = Lib(made, result)
    monkeypatch.setattr(module, "lib", fake)
    cnc = SimpleNamespace(counters=lambda: None)
    made.append(
        Subscription(None, cnc, channel="aeron:ipc", stream_id=1, registration_id=1, channel_status_id=-1)  # type: ignore[arg-type]
    )
    return made[0], fake


def test_an_image_is_listed_before_a_poll_can_return_its_fragments(monkeypatch: pytest.MonkeyPatch) -> None:
    subscription, fake = make(monkeypatch, 0)
    image = SimpleNamespace(address=1, native=None)
    subscription.add_image(image)  # type: ignore[arg-type]
    assert fake.listed == [1] and subscription.images == (image,)


def test_an_image_that_could_not_be_added_is_not_listed(monkeypatch: pytest.MonkeyPatch) -> None:
    subscription, _ = make(monkeypatch, -lib.FL_ENOMEM)
    with pytest.raises(NativeError):
        subscription.add_image(SimpleNamespace(address=1, native=None))  # type: ignore[arg-type]
    assert subscription.images == ()
