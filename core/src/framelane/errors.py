"""The errors that framelane raises."""

__all__ = ["ConfigError", "FramelaneError", "NativeError", "TransportError"]


class FramelaneError(Exception):
    """Base of all framelane errors. The message says what was asked, what was found and what to do next."""


class ConfigError(FramelaneError):
    """The configuration is wrong; the message lists every problem that was found.

    :ivar problems: the same, one by one.
    """

    def __init__(self, message: str, problems: tuple[str, ...] = ()) -> None:
        super().__init__(message)
        self.problems = problems or (message,)


class TransportError(FramelaneError):
    """A frame transport could not be found, opened or used."""


class NativeError(FramelaneError):
    """A call into the data plane failed.

    :ivar code: the ``FL_E*`` value, positive.
    """

    def __init__(self, message: str, code: int) -> None:
        super().__init__(message)
        self.code = code
