"""Log records of children: sent by a handler in the child, handled in the parent by the logger of the same name.

A record travels as a dict of its attributes, through a socket that keeps packets whole, so that threads and processes
of the child need no lock for it and a death leaves no half of one. Its message is complete: arguments are in it and the
traceback is text, for neither may exist in the parent. What else it carries (`extra=`) goes as a pickle, and as its
repr where it has none, or where the parent cannot read it.

Levels are the parent's, as they were when the child started. In the child all other handlers are taken off, those that
a fork copied and those that an import of the main module made: each record is handled once, in the parent.
"""

from __future__ import annotations

import contextlib
import logging
import os
import pickle
import struct

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

__all__ = ["PACKET_BYTES", "Assembly", "Handler", "divert", "handle", "levels", "shown"]

PACKET_BYTES = 32 << 10  # of a record in one packet: well below what a socket's buffer holds
MOST_BYTES = 16 << 20  # of one record; a longer one is cut
MOST_CHARACTERS = 1 << 20  # what then remains of its message

_HEAD = struct.Struct("<QIQ?")  # turn, pid, number of the record in that process, whether more of it follows
_PLAIN = (str, int, float, bool, type(None))


class Handler(logging.Handler):
    """In a child: sends records to the parent."""

    def __init__(self, fd: int, turns: Any) -> None:
        super().__init__()
        self._fd, self._turns = fd, turns
        self._number = 0

    def emit(self, record: logging.LogRecord) -> None:
        """Send a record. Blocks while the parent does not keep up."""
        try:
            data = _packed(record)
            with self._turns.lock:
                turn = self._turns.take(0)  # `wires.LOG`
                self._number += 1
                for at in range(0, len(data), PACKET_BYTES):
                    part = data[at : at + PACKET_BYTES]
                    more = at + PACKET_BYTES < len(data)
                    os.write(self._fd, _HEAD.pack(turn, os.getpid(), self._number, more) + part)
        except (BrokenPipeError, ConnectionError):
            pass  # the parent is gone, and this process goes with it
        except Exception:
            self.handleError(record)


def _packed(record: logging.LogRecord) -> bytes:
    """The record as bytes, whatever it carries. Raises: what its message's formatting raises."""
    fields = dict(vars(record))
    fields["msg"] = record.getMessage()
    fields["args"] = None
    if record.exc_info and not record.exc_text:
        fields["exc_text"] = logging.Formatter().formatException(record.exc_info)
    fields["exc_info"] = None
    more = {name: fields.pop(name) for name, value in list(fields.items()) if type(value) not in _PLAIN}
    data = pickle.dumps((fields, {name: _sealed(value) for name, value in more.items()}), 5)
    if len(data) > MOST_BYTES:
        fields = {name: value for name, value in fields.items() if not isinstance(value, str) or len(value) < 4096}
        fields["msg"] = record.getMessage()[:MOST_CHARACTERS]
        data = pickle.dumps((fields, {}), 5)
    return data


def _sealed(value: object) -> tuple[str, bytes | None]:
    """A value's repr, and its pickle if it has one."""
    try:
        shown = repr(value)
    except Exception as error:
        shown = f"<{type(value).__name__} whose repr raised {type(error).__name__}>"
    try:
        return shown, pickle.dumps(value, 5)
    except Exception:
        return shown, None


def levels() -> dict[str | None, int]:
    """In the parent: the levels that were set, by logger; at None what is disabled altogether."""
    found: dict[str | None, int] = {None: logging.root.manager.disable, "root": logging.root.level}
    for name, logger in list(logging.root.manager.loggerDict.items()):
        if isinstance(logger, logging.Logger) and logger.level:
            found[name] = logger.level
    return found


def divert(handler: Handler, given: dict[str | None, int] | None) -> None:
    """In the child: have every record go to `handler`, and to it alone. `given`: the parent's levels."""
    for name, level in (given or {}).items():
        if name is None:
            logging.disable(level)
        else:
            logging.getLogger(name).setLevel(level)
    for logger in list(logging.root.manager.loggerDict.values()):
        if isinstance(logger, logging.Logger):
            logger.handlers[:] = [] if logger.propagate else [handler]
    logging.root.handlers[:] = [handler]


# The parent's side


class Assembly:
    """Puts the packets of one child's records together."""

    def __init__(self) -> None:
        self._begun: dict[tuple[int, int], bytearray] = {}

    def feed(self, packet: bytes) -> tuple[int, logging.LogRecord | None]:
        """A packet's turn, and the record that it completes."""
        if len(packet) <= _HEAD.size:
            return 0, None
        turn, pid, number, more = _HEAD.unpack_from(packet)
        data = packet[_HEAD.size :]
        key = pid, number
        if more or key in self._begun:
            self._begun.setdefault(key, bytearray()).extend(data)
            if more:
                return turn, None
            data = bytes(self._begun.pop(key))
        return turn, _rebuilt(data)


def _rebuilt(data: bytes) -> logging.LogRecord:
    fields, more = pickle.loads(data)
    for name, (shown, pickled) in more.items():
        fields[name] = shown
        if pickled is not None:
            with contextlib.suppress(Exception):  # its class cannot be imported here
                fields[name] = pickle.loads(pickled)
    return logging.makeLogRecord(fields)


def shown(record: logging.LogRecord) -> str:
    """A record as text, as it stands among a dead worker's last lines."""
    text = f"{record.levelname}:{record.name}:{record.getMessage()}"
    return f"{text}\n{record.exc_text}" if record.exc_text else text


def handle(record: logging.LogRecord) -> bool:
    """Give a record to the logger of its name. False: that has no handlers, nor has one above it."""
    logger = logging.getLogger(record.name)
    if not logger.hasHandlers():
        return False
    logger.handle(record)
    return True
