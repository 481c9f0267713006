"""Commands of a gateway: parsed, carried out once, answered."""

import logging
from collections import OrderedDict
from collections.abc import Callable
from typing import Final

import msgspec

from devices.frame import Command, Reply

log = logging.getLogger(__name__)

REMEMBERED: Final = 256
"""So many commands are known again when the broker delivers them twice."""


class CommandDesk:
    """Carries out what comes on the `cmd` topic."""

    def __init__(self, on_command: Callable[[Command], Reply | None] | None, rebirth: Callable[[], None]) -> None:
        """`on_command` may answer None, and reply later; `rebirth` is carried out for the command of that name."""
        self._on_command = on_command
        self._rebirth = rebirth
        self._replies: OrderedDict[str, Reply | None] = OrderedDict()

    def take(self, payload: bytes) -> Reply | None:
        """Carry out a command; what to answer now, if anything. A repeated one is only answered again.

        Raises:
            ValueError: it is not a command.
        """
        try:
            command = msgspec.json.decode(payload, type=Command)
        except (msgspec.MsgspecError, UnicodeDecodeError) as error:
            raise ValueError(f"not a command: {error}") from error
        if command.id in self._replies:
            return self._replies[command.id]
        reply = self._replies[command.id] = self._carry_out(command)
        if len(self._replies) > REMEMBERED:
            self._replies.popitem(last=False)
        return reply

    def _carry_out(self, command: Command) -> Reply | None:
        if command.op == "rebirth":
            self._rebirth()
            return Reply(command.id, True)
        if self._on_command is None:
            return Reply(command.id, False, "this device takes no commands")
        try:
            return self._on_command(command)
        except Exception as error:
            log.exception("command %s failed", command.op)
            return Reply(command.id, False, f"{type(error).__name__}: {error}")
