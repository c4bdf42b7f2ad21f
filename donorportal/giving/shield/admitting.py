"""Deciding whether a form that was sent may lead to a payment page.

Whoever is refused leaves counters behind and no row of their own. Under attack a visitor who
brings no proof of work touches two counters only, so that an attack from a hundred thousand
addresses leaves no more behind than one from a single address.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import timedelta
from enum import StrEnum

import sqlalchemy as sa
from sqlalchemy.orm import Session

from donorportal import clock
from donorportal.config import Settings
from donorportal.db import writing_session
from donorportal.giving.shield import alarm, holds, mailed_code, puzzle, tallies
from donorportal.giving.shield.holds import Hold
from donorportal.giving.shield.marks import Visitor
from donorportal.giving.shield.tallies import What
from donorportal.limits.counting import (
    Limit,
    counted_alone,
    slowest,
    take_back,
    until_next_window,
)

_MINUTE = timedelta(minutes=1)
_TEN_MINUTES = timedelta(minutes=10)
_WEEK = timedelta(days=7)
_PLACE = {
    What.ADDRESS: ((3, _MINUTE), (15, _WEEK)),
    What.NETWORK: ((10, _MINUTE),),
}
_PERSON = {
    What.EMAIL: ((5, _TEN_MINUTES),),
    What.BROWSER: ((5, _TEN_MINUTES),),
}
_SITE = "give:site"
_SITE_USUAL = 30
"""More attempts than this in a minute, from everybody together, are a sign of an attack."""
_SITE_MOST = 10 * _SITE_USUAL
"""No more payment pages than this are opened in a minute, proof of work or not."""


class Reason(StrEnum):
    """Why a form is not followed, for now."""

    TOO_MANY = "too many"
    BLOCKED = "blocked"
    WORK = "work"


@dataclass(frozen=True, slots=True)
class Refusal:
    """Why, for how long, and how many zero bits would change it."""

    reason: Reason
    wait: timedelta = timedelta(0)
    bits: int = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class Proof:
    """What came with a form to show that a person, or at least some work, is behind it."""

    form_key: str
    email_key: str
    challenge: str
    answer: str
    code_until: str
    code: str


def admit(
    engine: sa.Engine, visitor: Visitor, proof: Proof, *, settings: Settings
) -> Refusal | None:
    """Count an attempt to give; return why it must not go on, or None to go ahead.

    Donors who are signed in are not slowed and not counted; only their own declined charges can
    block them.
    """
    keys = (holds.SITE, holds.OFF, *visitor.marks.values())
    standing = holds.standing_now(engine, keys)
    block = _block(visitor, standing)
    if visitor.signed_in:
        return block
    if block is not None:
        counted_alone(engine, tallies.line(What.TRIED), tallies.line(What.BLOCKED))
        return block
    factor = settings.checkout_limit_factor
    if not (alarm.is_on(standing) or visitor.marks["network"] in standing):
        return _count(engine, visitor, standing, factor)
    how = _proven(engine, settings, proof)
    if how is None:
        return _ask_for_work(engine, standing, factor)
    return _count_proven(engine, visitor, how, factor)


def _block(visitor: Visitor, standing: Mapping[str, Hold]) -> Refusal | None:
    """Return the block that concerns this visitor.

    A network may be a whole university; from there, work is asked for and nobody is blocked.
    """
    until = [
        standing[mark].until
        for kind, mark in visitor.marks.items()
        if mark in standing and kind != "network"
    ]
    return Refusal(Reason.BLOCKED, max(until) - clock.now()) if until else None


def _count(
    engine: sa.Engine, visitor: Visitor, standing: Mapping[str, Hold], factor: int
) -> Refusal | None:
    """Count an ordinary attempt; too many of them together sound the alarm.

    What is typed is counted only where the place it comes from is within its limits: whoever
    hammers with ever new addresses of mailboxes must not leave a counter for each.
    """
    place = _own_limits(visitor, _PLACE, factor)
    person = _own_limits(visitor, _PERSON, factor)
    site = Limit(_SITE, _SITE_USUAL * factor, _MINUTE)
    counts = counted_alone(engine, *place, site, tallies.line(What.TRIED))
    over = slowest(counts, *place)
    if over is None and counts[site.key] <= site.most:
        over = slowest(counted_alone(engine, *person), *person)
        if over is None:
            return None
    with writing_session(engine) as session:
        if over is not None:
            # One visitor who hammers must not make everybody else work.
            take_back(session, site)
            return _too_many(session, (place | person)[over], over)
        if holds.OFF in standing:
            most = Limit(_SITE, _SITE_MOST * factor, _MINUTE)
            return _too_many(session, What.SITE, most) if counts[site.key] > most.most else None
        alarm.sound(session, "attempts", standing.get(holds.SITE))
        tallies.tally(session, What.ASKED)
    return _work(counts[site.key], factor)


def _ask_for_work(engine: sa.Engine, standing: Mapping[str, Hold], factor: int) -> Refusal:
    """Count an attempt without proof; while there are many of them the alarm goes on."""
    site = Limit(_SITE, _SITE_USUAL * factor, _MINUTE)
    counts = counted_alone(engine, site, tallies.line(What.TRIED), tallies.line(What.ASKED))
    alarmed = standing.get(holds.SITE)
    if counts[site.key] > site.most and alarm.needs(alarmed):
        with writing_session(engine) as session:
            alarm.sound(session, "attempts", alarmed)
    return _work(counts[site.key], factor)


def _count_proven(engine: sa.Engine, visitor: Visitor, how: What, factor: int) -> Refusal | None:
    """Count an attempt that brought proof; it was counted for everybody when it was asked."""
    own = _own_limits(visitor, _PLACE | _PERSON, factor)
    site = Limit(f"{_SITE}-proven", _SITE_MOST * factor, _MINUTE)
    limits = own | {site: What.SITE}
    over = slowest(counted_alone(engine, *limits, tallies.line(how)), *limits)
    if over is None:
        return None
    with writing_session(engine) as session:
        return _too_many(session, limits[over], over)


def _own_limits(
    visitor: Visitor, of: Mapping[What, tuple[tuple[int, timedelta], ...]], factor: int
) -> dict[Limit, What]:
    """Return the limits of one visitor, each with the name under which refusals are counted."""
    return {
        Limit(
            f"give:{visitor.marks[what]}:{window.total_seconds():.0f}", most * factor, window
        ): what
        for what, limits in of.items()
        if what in visitor.marks
        for most, window in limits
    }


def _proven(engine: sa.Engine, settings: Settings, proof: Proof) -> What | None:
    """Say how the form proves itself, if it does; the proof is used up by that."""
    if not (proof.answer or proof.code):
        return None
    with writing_session(engine) as session:
        if proof.answer and puzzle.solved(
            session,
            settings,
            form_key=proof.form_key,
            challenge=proof.challenge,
            answer=proof.answer,
        ):
            return What.SOLVED
        if proof.code and mailed_code.right(
            session,
            settings,
            form_key=proof.form_key,
            email_key=proof.email_key,
            until=proof.code_until,
            code=proof.code,
        ):
            return What.CODED
    return None


def _too_many(session: Session, what: What, limit: Limit) -> Refusal:
    tallies.tally(session, what)
    return Refusal(Reason.TOO_MANY, until_next_window(limit))


def _work(attempts: int, factor: int) -> Refusal:
    return Refusal(Reason.WORK, bits=puzzle.difficulty(attempts, _SITE_USUAL * factor))
