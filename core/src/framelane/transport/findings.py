"""What a probe gathers, in order, until it makes a verdict of it."""

from __future__ import annotations

from dataclasses import dataclass, field

from framelane.transport.spec import Fact, Obstacle

__all__ = ["Findings"]


@dataclass
class Findings:
    """Facts and obstacles, as :class:`framelane.transport.Verdict` takes them.

    :ivar is_usable: no obstacle refuses the transport.
    """

    facts: list[Fact] = field(default_factory=list)
    obstacles: list[Obstacle] = field(default_factory=list)
    is_usable: bool = True

    def fact(self, name: str, value: object) -> None:
        """Add a fact."""
        self.facts.append(Fact(name, str(value)))

    def refuse(self, asked: str, found: str, where: str, next_step: str) -> None:
        """Add an obstacle that the transport is not usable with."""
        self.note(asked, found, where, next_step)
        self.is_usable = False

    def note(self, asked: str, found: str, where: str, next_step: str) -> None:
        """Add an obstacle that is a warning."""
        self.obstacles.append(Obstacle(asked=asked, found=found, where=where, next=next_step))
