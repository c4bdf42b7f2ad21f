"""Whether we are alive and ready, and what operators watch."""

from datetime import timedelta
from secrets import compare_digest

import sqlalchemy as sa
from flask import Blueprint, Response, abort, request
from flask.typing import ResponseReturnValue

from donorportal import clock, metrics, schema
from donorportal.current import settings
from donorportal.db import db

bp = Blueprint("health", __name__)

# Work that waits longer than this means that no worker is running.
_STUCK_SECONDS = 900.0


@bp.get("/healthz")
def healthz() -> ResponseReturnValue:
    """Answer as long as the process can; nothing else is looked at."""
    return {"status": "ok"}


@bp.get("/readyz")
def readyz() -> ResponseReturnValue:
    """Say whether requests can be served: database, migrations, and a worker that keeps up."""
    try:
        connection = db.session.connection()
        current = schema.is_current(connection)
        waiting = metrics.oldest_ready_job_seconds(connection) if current else 0.0
    except sa.exc.SQLAlchemyError:
        return {"status": "no database"}, 503
    if not current:
        return {"status": "migrations are missing"}, 503
    if waiting > _STUCK_SECONDS:
        return {"status": "no worker keeps up", "oldest_job_seconds": round(waiting)}, 503
    return {"status": "ok", "oldest_job_seconds": round(waiting)}


@bp.get("/.well-known/security.txt")
def security_txt() -> Response:
    """Say where to report a weakness (RFC 9116); what was read is good for half a year."""
    good_until = (clock.now() + timedelta(days=180)).strftime("%Y-%m-%dT00:00:00Z")
    lines = [
        f"Contact: {settings().security_contact}",
        f"Expires: {good_until}",
        f"Preferred-Languages: {settings().organisation.locale.partition('_')[0]}",
        f"Canonical: {settings().public_url}{request.path}",
    ]
    return Response("\n".join(lines) + "\n", content_type="text/plain; charset=utf-8")


@bp.get("/metrics", endpoint="metrics")
def metrics_page() -> Response:
    """Answer whoever holds METRICS_TOKEN; for everybody else there is nothing here."""
    token = settings().metrics_token
    given = request.headers.get("Authorization", "")
    if token is None or not compare_digest(given.encode(), f"Bearer {token}".encode()):
        abort(404)
    return Response(metrics.exposition(db.session.connection()), mimetype="text/plain")
