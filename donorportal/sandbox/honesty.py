"""Nothing leaves the sandbox which the SDK's types would not let Stripe say."""

from donorportal.sandbox.sdktypes import object_class
from donorportal.sandbox.storage import Body
from donorportal.sandbox.typecheck import check_response


class Dishonest(Exception):  # noqa: N818 - named for what happened
    """The sandbox was about to say something that Stripe's types do not allow."""


def vouch(body: Body) -> None:
    """Check an object, or each object of a list. Raises: Dishonest."""
    found = []
    for obj in body["data"] if body.get("object") == "list" else [body]:
        cls = object_class(obj.get("object", ""))
        found += ["unknown kind of object"] if cls is None else check_response(cls, obj)
    if found:
        raise Dishonest(f"{body.get('object')} {body.get('id', '')}: " + "; ".join(found[:8]))
