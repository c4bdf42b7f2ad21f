"""Lists as Stripe pages them: newest first, by cursor, filtered."""

from typing import Any

from donorportal.sandbox.errors import invalid
from donorportal.sandbox.storage import Body, Transaction

_COMPARISONS = {"eq": "=", "gt": ">", "gte": ">=", "lt": "<", "lte": "<="}
PAGING = "limit starting_after ending_before expand"


def page(
    tx: Transaction, params: Body, kind: str, url: str, *, fields: tuple[str, ...] = ()
) -> Body:
    """Answer one page of a kind; each name in `fields` filters by the parameter of that name."""
    return fetch(tx, params, url, Query(kind, params, *fields))


class Query:
    """A growing WHERE clause: a kind, its time of creation, and fields equal to parameters."""

    def __init__(self, kind: str, params: Body, *fields: str) -> None:
        self.where, self.values = ["kind = ?"], [kind]
        for name in fields:
            if name in params:
                self.equal(name, params[name])
        self.compare("created", params.get("created", {}))

    def compare(self, expression: str, asked: Any) -> None:
        """Ask for a moment to equal a number, or to fit every bound of a range."""
        for name, value in ({"eq": asked} if isinstance(asked, int) else asked).items():
            self.add(f"{expression} {_COMPARISONS[name]} ?", value)

    def equal(self, path: str, value: Any) -> None:
        """Ask for a field (a dotted path) to equal a value; the text is one that an index has."""
        self.add(f"json_extract(body, '$.{path}') = ?", value)

    def add(self, condition: str, *values: Any) -> None:
        """Add a condition; the text is written in this package, the values are bound."""
        self.where.append(condition)
        self.values.extend(values)


def fetch(tx: Transaction, params: Body, url: str, query: Query) -> Body:
    """Answer the page that the cursor asks for."""
    limit = params.get("limit", 10)
    if not 1 <= limit <= 100:  # noqa: PLR2004
        raise invalid("Invalid limit: must be between 1 and 100.", "limit")
    ascending = "ending_before" in params
    for name, sign in (("starting_after", "<"), ("ending_before", ">")):
        if name in params:
            query.add(f"seq {sign} ?", _position(tx, params[name], name))
    rows = tx.sql.execute(
        f"SELECT body FROM object WHERE {' AND '.join(query.where)}"  # noqa: S608
        f" ORDER BY seq {'ASC' if ascending else 'DESC'} LIMIT ?",
        [*query.values, limit + 1],
    ).fetchall()
    data = [tx.parse(row["body"]) for row in rows[:limit]]
    if ascending:
        data.reverse()
    return {"object": "list", "data": data, "has_more": len(rows) > limit, "url": url}


def _position(tx: Transaction, object_id: str, param: str) -> int:
    row = tx.sql.execute("SELECT seq FROM object WHERE id = ?", (object_id,)).fetchone()
    if row is None:
        raise invalid(f"No such object: '{object_id}'", param, "resource_missing")
    seq: int = row["seq"]
    return seq
