"""What a client's conductor is given: commands that wait for their answer, and what the application wants to hear."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from framelane.client.errors import RegistrationError
from framelane.client.image import Image
from framelane.protocol import events
from framelane.protocol.commands import Command
from framelane.protocol.events import Event

__all__ = ["Handlers", "Pending", "SubscriptionHandlers"]

ImageHandler = Callable[[Image], object]


@dataclass(frozen=True)
class Handlers:
    """What the application wants to hear of. Each is called by whoever does the client's work, one at a time, without a
    lock held: it may use the client. Without ``on_error``, errors are printed."""

    on_available_image: ImageHandler | None = None
    on_unavailable_image: ImageHandler | None = None
    on_available_counter: Callable[[int, int], object] | None = None
    on_unavailable_counter: Callable[[int, int], object] | None = None
    on_publication_error: Callable[[events.PublicationError], object] | None = None
    on_error: Callable[[Exception], object] | None = None
    on_close: Callable[[BaseException | None], object] | None = None


@dataclass(frozen=True)
class SubscriptionHandlers:
    """Of one subscription, in place of the client's."""

    on_available_image: ImageHandler | None
    on_unavailable_image: ImageHandler | None


class Pending:
    """A command that the driver has not answered yet."""

    def __init__(self, command: Command, what: str, complete: Callable[[Event], Any], deadline: float) -> None:
        self.command = command
        self.what = what
        self.complete = complete  #: makes the result from the answer
        self.deadline = deadline
        self.is_done = False
        self.error: Exception | None = None
        self._result: Any = None

    def answer(self, event: Event) -> None:
        """Take the driver's answer."""
        if isinstance(event, events.ErrorResponse):
            self.error = RegistrationError(f"{self.what}: {event.error_message}", event.error_code)
        else:
            try:
                self._result = self.complete(event)
            except Exception as error:
                self.error = error
        self.is_done = True

    def result(self) -> Any:
        """Return what the command made, once it is done.

        :raises RegistrationError: if the driver refused it.
        """
        if self.error is not None:
            raise self.error
        return self._result
