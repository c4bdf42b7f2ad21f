"""How the SMTP listener misbehaves on purpose."""

import re
import threading
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field, fields, replace
from typing import Any, Literal

Stage = Literal["mail", "rcpt", "data"]
STAGES = ("mail", "rcpt", "data")
REPLY = re.compile(r"[45][0-5][0-9] [\x20-\x7e]{1,200}")
LONGEST_HANG_SECONDS = 900


@dataclass(frozen=True)
class SmtpKnobs:
    """What goes wrong next; the default is nothing.

    For the next `times` commands of a `stage`, the listener waits `hang_seconds` and then
    answers `reply` if there is one. `data` is the answer to the final dot. The connection is
    dropped without an answer for the next `drop_before_dot` messages (not stored) and
    `drop_after_dot` messages (stored). `reject` answers RCPT for these addresses, always.
    """

    reply: str | None = None
    hang_seconds: float = 0
    stage: Stage = "data"
    times: int = 1
    drop_before_dot: int = 0
    drop_after_dot: int = 0
    reject: Mapping[str, str] = field(default_factory=dict)


class SmtpFaults:
    """The knobs in force, shared by the listener's loop and the page that sets them."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._knobs = SmtpKnobs()

    @property
    def knobs(self) -> dict[str, Any]:
        """The knobs in force, counted down by what already happened."""
        return asdict(self._knobs)

    def set(self, document: Mapping[str, Any]) -> None:
        """Replace all knobs by these; an empty document means no faults.

        Raises:
            ValueError: a knob is unknown or its value makes no sense; nothing is changed.

        """
        unknown = document.keys() - {known.name for known in fields(SmtpKnobs)}
        if unknown:
            raise ValueError(f"unknown knobs: {', '.join(sorted(unknown))}")
        knobs = SmtpKnobs(**document)
        _check(knobs)
        rejected = {address.lower(): reply for address, reply in knobs.reject.items()}
        with self._lock:
            self._knobs = replace(knobs, reject=rejected)

    def at(self, stage: Stage) -> tuple[float, str | None]:
        """Return (seconds to wait, reply or None) for this command, and count it."""
        with self._lock:
            knobs = self._knobs
            if knobs.stage != stage or not knobs.times:
                return 0, None
            if knobs.hang_seconds or knobs.reply:
                self._knobs = replace(knobs, times=knobs.times - 1)
            return knobs.hang_seconds, knobs.reply

    def rejection(self, address: str) -> str | None:
        """Return the reply this recipient always gets, or None."""
        return self._knobs.reject.get(address.lower())

    def drops_before_dot(self) -> bool:
        """Tell whether to break this message in its middle, and count it."""
        with self._lock:
            left = self._knobs.drop_before_dot
            self._knobs = replace(self._knobs, drop_before_dot=max(left - 1, 0))
        return left > 0

    def drops_after_dot(self) -> bool:
        """Tell whether to keep silent about this stored message, and count it."""
        with self._lock:
            left = self._knobs.drop_after_dot
            self._knobs = replace(self._knobs, drop_after_dot=max(left - 1, 0))
        return left > 0


def _check(knobs: SmtpKnobs) -> None:
    counts = {name: getattr(knobs, name) for name in ("times", "drop_before_dot", "drop_after_dot")}
    for name, count in counts.items():
        if type(count) is not int or count < 0:
            raise ValueError(f"{name} must be a whole number, not negative")
    if knobs.stage not in STAGES:
        raise ValueError(f"stage must be one of {', '.join(STAGES)}")
    if type(knobs.hang_seconds) not in (int, float) or not (
        0 <= knobs.hang_seconds <= LONGEST_HANG_SECONDS
    ):
        raise ValueError(f"hang_seconds must be between 0 and {LONGEST_HANG_SECONDS}")
    if not isinstance(knobs.reject, Mapping):
        raise ValueError("reject must map addresses to replies")  # noqa: TRY004 (one error for all)
    replies = [*knobs.reject.values(), *([knobs.reply] if knobs.reply is not None else [])]
    for reply in replies:
        if not isinstance(reply, str) or not REPLY.fullmatch(reply):
            raise ValueError("a reply looks like '451 4.3.0 try later'")
