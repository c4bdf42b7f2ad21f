"""Who may do what: every route and method of the product, and who may use it.

A route that is not listed here keeps the program from starting. Reading and changing are listed
separately: the right to look at something never includes the right to change it.
"""

from enum import StrEnum
from urllib.parse import urlsplit

from flask import Flask, Response, abort, redirect, request, url_for
from flask.typing import ResponseReturnValue

from donorportal.access.people import Realm, Role
from donorportal.access.sessions import SignedIn, Visitor, whoever


class Permission(StrEnum):
    """What somebody must be, or be allowed to do, to use a route."""

    PUBLIC = "public"
    WEBHOOK = "webhook"
    """Whoever calls proves it in the request itself: Stripe's signature."""
    METRICS = "metrics"
    """The same, with METRICS_TOKEN."""
    DONOR = "donor"
    STAFF = "staff"
    """Every staff member."""
    SEE_QUEUES = "see queues"
    """The inbox, the jobs and the outbox, which name donors."""
    RUN_AGAIN = "run again"
    SWITCH_SHIELD = "switch shield"
    """Proof of work on or off for everybody, and letting blocked visitors go."""
    SEE_GIFTS = "see gifts"
    """Who gave what, and what became of it."""
    MANAGE_GIFTS = "manage gifts"
    """Change a donor's monthly gift, as the donor asks on the telephone."""
    REFUND = "refund"
    SETTLE_TASKS = "settle tasks"
    SEE_BOOKS = "see books"
    """Payouts, the journal, and whether Stripe and our books agree."""
    REPAIR = "repair"
    """Repair what differs between Stripe and our books."""


_SELF_PROVING = frozenset({Permission.PUBLIC, Permission.WEBHOOK, Permission.METRICS})

ROLES: dict[Permission, frozenset[Role]] = {
    Permission.STAFF: frozenset(Role),
    Permission.SEE_QUEUES: frozenset({Role.OWNER, Role.FINANCE, Role.SUPPORT}),
    Permission.RUN_AGAIN: frozenset({Role.OWNER, Role.FINANCE}),
    Permission.SWITCH_SHIELD: frozenset({Role.OWNER}),
    Permission.SEE_GIFTS: frozenset({Role.OWNER, Role.FINANCE, Role.SUPPORT}),
    Permission.MANAGE_GIFTS: frozenset({Role.OWNER, Role.FINANCE, Role.SUPPORT}),
    Permission.REFUND: frozenset({Role.OWNER, Role.FINANCE}),
    Permission.SETTLE_TASKS: frozenset({Role.OWNER, Role.FINANCE, Role.SUPPORT}),
    Permission.SEE_BOOKS: frozenset({Role.OWNER, Role.FINANCE}),
    Permission.REPAIR: frozenset({Role.OWNER, Role.FINANCE}),
}
"""Which staff members have a permission."""

_READ = {"GET": Permission.PUBLIC}
_FORM = {"GET": Permission.PUBLIC, "POST": Permission.PUBLIC}
_OWN_FORM = {"GET": Permission.DONOR, "POST": Permission.DONOR}

PERMISSIONS: dict[str, dict[str, Permission]] = {
    "access.sign_in": _FORM,
    "access.code": _FORM,
    "access.link": _FORM,
    "access.sign_out": _FORM,
    "assets.serve": _READ,
    "giving.home": _READ,
    "giving.give": _FORM,
    "giving.thanks": _READ,
    "health.healthz": _READ,
    "health.readyz": _READ,
    "health.security_txt": _READ,
    "health.metrics": {"GET": Permission.METRICS},
    "portal.overview": {"GET": Permission.DONOR},
    "portal.gifts": {"GET": Permission.DONOR},
    "portal.gifts_csv": {"GET": Permission.DONOR},
    "portal.partner.show": {"GET": Permission.DONOR},
    "portal.partner.change": _OWN_FORM,
    "portal.partner.card_left": {"GET": Permission.DONOR},
    "portal.recovery.charge": _OWN_FORM,
    "recovery.come_back": _READ,
    "staff.sign_in": _FORM,
    "staff.code": _FORM,
    "staff.link": _FORM,
    "staff.second_factor_step": _FORM,
    "staff.enrol": _FORM,
    "staff.overview": {"GET": Permission.STAFF},
    "staff.style": {"GET": Permission.STAFF},
    "staff.inbox": {"GET": Permission.SEE_QUEUES},
    "staff.event": {"GET": Permission.SEE_QUEUES},
    "staff.event_runs": {"POST": Permission.RUN_AGAIN},
    "staff.jobs": {"GET": Permission.SEE_QUEUES},
    "staff.job_runs": {"POST": Permission.RUN_AGAIN},
    "staff.outbox": {"GET": Permission.SEE_QUEUES},
    "staff.shield.overview": {"GET": Permission.SEE_QUEUES},
    "staff.shield.switches": {"POST": Permission.SWITCH_SHIELD},
    "staff.shield.releases": {"POST": Permission.SWITCH_SHIELD},
    "staff.partners.index": {"GET": Permission.MANAGE_GIFTS},
    "staff.partners.show": {"GET": Permission.MANAGE_GIFTS},
    "staff.partners.change": {"GET": Permission.MANAGE_GIFTS, "POST": Permission.MANAGE_GIFTS},
    "staff.partners.links": {"POST": Permission.MANAGE_GIFTS},
    "staff.gifts.index": {"GET": Permission.SEE_GIFTS},
    "staff.gifts.show": {"GET": Permission.SEE_GIFTS},
    "staff.gifts.refunds": {"GET": Permission.REFUND, "POST": Permission.REFUND},
    "staff.gifts.settle": {"POST": Permission.SETTLE_TASKS},
    "staff.payouts.index": {"GET": Permission.SEE_BOOKS},
    "staff.payouts.show": {"GET": Permission.SEE_BOOKS},
    "staff.payouts.spreadsheet": {"GET": Permission.SEE_BOOKS},
    "staff.payouts.readings": {"POST": Permission.RUN_AGAIN},
    "staff.payouts.journal_csv": {"GET": Permission.SEE_BOOKS},
    "staff.reconciliation.index": {"GET": Permission.SEE_BOOKS},
    "staff.reconciliation.runs": {"POST": Permission.REPAIR},
    "staff.reconciliation.repairs": {"POST": Permission.REPAIR},
    "staff.reconciliation.explanations": {"POST": Permission.REPAIR},
    "webhooks.stripe": {"POST": Permission.WEBHOOK},
}
"""Endpoint, then method; HEAD is GET, and OPTIONS only lists the methods."""


class RegistryIncomplete(Exception):  # noqa: N818 - named for what it is
    """The routes and the table of permissions disagree; the message lists where."""


def check_registry(app: Flask) -> None:
    """Compare the routes with the table.

    Raises:
        RegistryIncomplete: A route has no permission, or the table names one that is not there.

    """
    there = {
        (rule.endpoint, method)
        for rule in app.url_map.iter_rules()
        for method in (rule.methods or set()) - {"HEAD", "OPTIONS"}
    }
    listed = {(endpoint, method) for endpoint in PERMISSIONS for method in PERMISSIONS[endpoint]}
    if there != listed:
        raise RegistryIncomplete(
            f"routes without a permission: {sorted(there - listed)};"
            f" permissions without a route: {sorted(listed - there)}"
        )


def init_permissions(app: Flask) -> None:
    """Ask `enforce` before every request, and keep what only some may see out of caches."""
    app.before_request(enforce)
    app.after_request(_keep_out_of_caches)


def enforce() -> ResponseReturnValue | None:
    """Let the request pass, send its maker to sign in, or refuse."""
    if request.url_rule is None or request.method == "OPTIONS":
        return None  # Flask answers itself: not found, wrong method, or what is allowed.
    permission = _asked_for()
    # Public pages do not even look: their visitors cost no query and no cookie.
    if permission in _SELF_PROVING or may(person := whoever(), permission):
        return None
    if permission == Permission.DONOR:
        return _to_door("access.sign_in")
    if isinstance(person, Visitor):
        return _to_door("staff.sign_in")
    # A donor learns nothing about the back office; a colleague is told that this is not theirs.
    return abort(404 if person.realm == Realm.DONOR else 403)


def may(person: SignedIn | Visitor, permission: Permission) -> bool:
    """Say whether *person* has a permission that not everybody has."""
    if permission == Permission.DONOR:
        return person.donor_id is not None
    return person.staff_id is not None and person.role in ROLES[permission]


def own_path(target: str | None) -> str | None:
    """Return *target* if it is a path on this site, None if it could lead elsewhere."""
    if not target or not target.startswith("/") or not target.isprintable():
        return None
    # Browsers read a backslash as a slash, and two slashes as the beginning of a host name.
    if "\\" in target or target.startswith("//"):
        return None
    parts = urlsplit(target)
    return None if parts.scheme or parts.netloc else target


def _asked_for() -> Permission:
    method = "GET" if request.method == "HEAD" else request.method
    return PERMISSIONS[request.endpoint or ""][method]


def _to_door(endpoint: str) -> ResponseReturnValue:
    target = own_path(request.full_path.rstrip("?")) if request.method in {"GET", "HEAD"} else None
    return redirect(url_for(endpoint, next=target), code=303)


def _keep_out_of_caches(response: Response) -> Response:
    if request.url_rule is not None and request.method != "OPTIONS":
        private = _asked_for() not in _SELF_PROVING
        if private or request.blueprint in {"access", "staff"}:
            response.headers["Cache-Control"] = "no-store"
    return response
