"""Who may end the driver by command (shm 9.13)."""

from __future__ import annotations

from collections.abc import Callable

from framelane.driver.log import logger

__all__ = ["Termination", "validator_named"]

#: Whether a token allows to end the driver.
Validator = Callable[[bytes], bool]


def validator_named(name: str) -> Validator:
    """Return the validator of the setting ``driver_termination_validator``: ``allow`` or ``deny``."""
    return {"allow": lambda _: True, "deny": lambda _: False}[name]


class Termination:
    """Answers TERMINATE_DRIVER.

    :param hook: called on the control thread when a client may end the driver.
    """

    def __init__(self, validator: Validator, hook: Callable[[], None]) -> None:
        self._validator = validator
        self._hook = hook

    def request(self, client_id: int, token: bytes) -> None:
        """Carry out one request. It has no answer either way."""
        if self._validator(token):
            logger.warning("termination requested", client_id=client_id)
            self._hook()
        else:
            logger.warning("termination denied", client_id=client_id)
