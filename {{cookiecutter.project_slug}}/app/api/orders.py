"""/api/orders: an example with everything on it, to be replaced by what your service is for.

Reading and writing need a scope each, a caller sees its own orders only, and what is worth money
has a stricter limit than the rest. The orders are in this process's memory, for want of a database.
"""

from __future__ import annotations

import itertools
import secrets
import threading
from collections import OrderedDict
from typing import Any

from flask import Blueprint, Response, current_app, g, jsonify, request, url_for
from flask.blueprints import BlueprintSetupState
from werkzeug.exceptions import BadRequest, NotFound

from app.extensions import limiter, require_scope

MOST_ORDERS = 1000  # then the oldest is forgotten

orders_blueprint = Blueprint("orders", __name__, url_prefix="/api/orders")


@orders_blueprint.get("")
@require_scope("orders:read")
def list_orders() -> dict[str, Any]:
    return {"orders": our_orders().of(g.get("client"))}


@orders_blueprint.post("")
@require_scope("orders:write")
def create_order() -> tuple[Response, int, dict[str, str]]:
    order = our_orders().add(g.get("client"), **checked_order(request.get_json()))
    location = url_for("orders.show_order", order_id=order["id"])
    return jsonify(order), 201, {"Location": location}


@orders_blueprint.get("/<int:order_id>")
@require_scope("orders:read")
def show_order(order_id: int) -> dict[str, Any]:
    return our_orders().one(g.get("client"), order_id)


@orders_blueprint.post("/<int:order_id>/voucher")
@limiter.limit("5 per minute")  # in place of RATELIMIT_DEFAULT
@require_scope("orders:write")
def issue_voucher(order_id: int) -> tuple[dict[str, Any], int]:
    order = our_orders().one(g.get("client"), order_id)
    return {"order": order["id"], "voucher": secrets.token_urlsafe(12)}, 201


def checked_order(body: object) -> dict[str, Any]:
    """What a caller may say of an order, and nothing else.

    :raises BadRequest: with every error at once, by its place (RFC 6901) in the document.
    """
    if not isinstance(body, dict):
        raise invalid({"": 'is a JSON object, as in {"item": "tea", "quantity": 2}'})
    unknown = sorted(set(body) - {"item", "quantity"})[:10]
    errors = {pointer(name[:100]): "is not known here" for name in unknown}
    item, quantity = body.get("item"), body.get("quantity")
    if not isinstance(item, str) or not 1 <= len(item.strip()) <= 100:
        errors["/item"] = "is text of 1 to 100 characters"
    if type(quantity) is not int or not 1 <= quantity <= 1000:  # True is an int, too
        errors["/quantity"] = "is a whole number from 1 to 1000"
    if errors:
        raise invalid(errors)
    return {"item": str(item).strip(), "quantity": quantity}


def pointer(name: str) -> str:
    return "/" + name.replace("~", "~0").replace("/", "~1")


def invalid(errors: dict[str, str]) -> BadRequest:
    error = BadRequest("The order is not valid.")
    error.problem = {  # type: ignore[attr-defined]  # app/errors.py adds these members
        "errors": [{"pointer": place, "detail": detail} for place, detail in errors.items()]
    }
    return error


class Orders:
    """The orders of one application, by number and bounded."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._orders: OrderedDict[int, tuple[str | None, dict[str, Any]]] = OrderedDict()
        self._numbers = itertools.count(1)

    def add(self, caller: str | None, item: str, quantity: int) -> dict[str, Any]:
        with self._lock:
            number = next(self._numbers)
            order = {"id": number, "item": item, "quantity": quantity}
            self._orders[number] = (caller, order)
            while len(self._orders) > MOST_ORDERS:
                self._orders.popitem(last=False)
        return order

    def of(self, caller: str | None) -> list[dict[str, Any]]:
        with self._lock:
            return [order for owner, order in self._orders.values() if owner == caller]

    def one(self, caller: str | None, order_id: int) -> dict[str, Any]:
        """:raises NotFound: also for somebody else's, so that nobody learns of it."""
        owner, order = self._orders.get(order_id, (None, None))
        if order is None or owner != caller:
            raise NotFound("There is no such order.")
        return order


@orders_blueprint.record_once
def keep_orders(state: BlueprintSetupState) -> None:
    """Each application has its own."""
    state.app.extensions["orders"] = Orders()


def our_orders() -> Orders:
    orders: Orders = current_app.extensions["orders"]
    return orders
