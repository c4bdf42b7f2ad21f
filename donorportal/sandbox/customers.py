"""Customers, products and prices: who pays and what for."""

from typing import Any

from donorportal.sandbox import lists
from donorportal.sandbox.currencies import CURRENCIES
from donorportal.sandbox.errors import invalid, missing
from donorportal.sandbox.events import changed, emit
from donorportal.sandbox.objects import merge_metadata, new
from donorportal.sandbox.operations import operation
from donorportal.sandbox.storage import Body, Transaction
from donorportal.sandbox.typecheck import minimal_part

_CUSTOMER = "email name phone description metadata address shipping preferred_locales"


@operation(
    "POST",
    "/v1/customers",
    "CustomerCreateParams",
    accepts=f"{_CUSTOMER} test_clock",
    inert="tax_exempt",
)
def create_customer(tx: Transaction, params: Body) -> Body:
    """Create a customer, on a test clock if one is named."""
    clock = params.get("test_clock")
    if clock and tx.peek(clock, "test_helpers.test_clock") is None:
        raise missing("test_helpers.test_clock", clock, "test_clock")
    tx.enter_clock(clock)
    customer = new(
        tx,
        "customer",
        balance=0,
        next_invoice_sequence=1,
        delinquent=False,
        invoice_settings=minimal_part("customer", "invoice_settings"),
        tax_exempt=params.get("tax_exempt", "none"),
        preferred_locales=[],
        shipping=None,
        test_clock=clock,
    )
    customer["invoice_prefix"] = customer["id"][-8:].upper()
    customer |= _plain(params)
    customer["metadata"] = merge_metadata({}, params.get("metadata"))
    tx.insert(customer)
    emit(tx, "customer.created", customer)
    return customer


@operation("GET", "/v1/customers/<id>", "CustomerRetrieveParams")
def retrieve_customer(tx: Transaction, params: Body, customer_id: str) -> Body:  # noqa: ARG001
    """Answer a customer, or the stub of a deleted one."""
    if tx.private(customer_id).get("deleted"):
        return {"id": customer_id, "object": "customer", "deleted": True}
    return load_customer(tx, customer_id)


@operation(
    "GET", "/v1/customers", "CustomerListParams", accepts=f"email created test_clock {lists.PAGING}"
)
def list_customers(tx: Transaction, params: Body) -> Body:
    """Answer customers, newest first."""
    return lists.page(tx, params, "customer", "/v1/customers", fields=("email", "test_clock"))


@operation(
    "POST",
    "/v1/customers/<id>",
    "CustomerUpdateParams",
    accepts=f"{_CUSTOMER} invoice_settings",
    inert="tax_exempt",
)
def update_customer(tx: Transaction, params: Body, customer_id: str) -> Body:
    """Change a customer."""
    customer = load_customer(tx, customer_id)
    tx.enter_clock(customer["test_clock"])
    before = dict(customer)
    customer |= _plain(params)
    customer["metadata"] = merge_metadata(customer["metadata"], params.get("metadata"))
    settings = params.get("invoice_settings", {})
    if "default_payment_method" in settings:
        customer["invoice_settings"] = customer["invoice_settings"] | {
            "default_payment_method": settings["default_payment_method"] or None
        }
    tx.save(customer)
    emit(tx, "customer.updated", customer, changed(before, customer))
    return customer


@operation("DELETE", "/v1/customers/<id>", "CustomerDeleteParams")
def delete_customer(tx: Transaction, params: Body, customer_id: str) -> Body:  # noqa: ARG001
    """Delete a customer for good; its subscriptions must have been cancelled before."""
    customer = load_customer(tx, customer_id)
    live = [s for s in tx.find("subscription", customer=customer_id) if s["status"] != "canceled"]
    if live:
        raise invalid("The sandbox deletes a customer only after its subscriptions are cancelled.")
    tx.delete(customer_id)
    tx.set_private(customer_id, deleted=True)
    emit(tx, "customer.deleted", customer)
    return {"id": customer_id, "object": "customer", "deleted": True}


def load_customer(tx: Transaction, customer_id: str, param: str = "id") -> Body:
    """Return a customer. Raises: ApiError when there is none."""
    customer = tx.peek(customer_id, "customer")
    if customer is None:
        raise missing("customer", customer_id, param)
    return customer


def _plain(params: Body) -> Body:
    names = "email name phone description address shipping preferred_locales".split()  # noqa: SIM905
    fields = {k: (None if params[k] == "" else params[k]) for k in names if k in params}
    if fields.get("address"):
        fields["address"] = minimal_part("customer", "address") | params["address"]
    return fields


@operation(
    "POST",
    "/v1/products",
    "ProductCreateParams",
    accepts="id name description metadata active statement_descriptor url",
)
def create_product(tx: Transaction, params: Body) -> Body:
    """Create a product."""
    if tx.peek(params.get("id")):
        raise invalid("Product already exists.", "id", "resource_already_exists")
    product = new(tx, "product", active=True, type="service", updated=tx.now, images=[])
    product |= {k: v for k, v in params.items() if k != "metadata"}
    product["metadata"] = merge_metadata({}, params.get("metadata"))
    tx.insert(product)
    emit(tx, "product.created", product)
    return product


@operation("GET", "/v1/products/<id>", "ProductRetrieveParams")
def retrieve_product(tx: Transaction, params: Body, product_id: str) -> Body:  # noqa: ARG001
    """Answer a product."""
    return load_product(tx, product_id)


@operation("GET", "/v1/products", "ProductListParams", accepts=f"active created {lists.PAGING}")
def list_products(tx: Transaction, params: Body) -> Body:
    """Answer products, newest first."""
    return lists.page(tx, params, "product", "/v1/products", fields=("active",))


@operation(
    "POST",
    "/v1/products/<id>",
    "ProductUpdateParams",
    accepts="name description metadata active statement_descriptor url",
)
def update_product(tx: Transaction, params: Body, product_id: str) -> Body:
    """Change a product."""
    product = load_product(tx, product_id)
    before = dict(product)
    product |= {k: (None if v == "" else v) for k, v in params.items() if k != "metadata"}
    product["metadata"] = merge_metadata(product["metadata"], params.get("metadata"))
    product["updated"] = tx.now
    tx.save(product)
    emit(tx, "product.updated", product, changed(before, product))
    return product


@operation("GET", "/v1/prices/<id>", "PriceRetrieveParams")
def retrieve_price(tx: Transaction, params: Body, price_id: str) -> Body:  # noqa: ARG001
    """Answer a price, which `price_data` somewhere created."""
    price = tx.peek(price_id, "price")
    if price is None:
        raise missing("price", price_id)
    return price


def load_product(tx: Transaction, product_id: str, param: str = "id") -> Body:
    """Return a product. Raises: ApiError when there is none."""
    product = tx.peek(product_id, "product")
    if product is None:
        raise missing("product", product_id, param)
    return product


def price_from_data(tx: Transaction, data: Body, param: str) -> Body:
    """Create the price that inline `price_data` describes. Raises: ApiError."""
    currency = data["currency"].lower()
    if currency not in CURRENCIES:
        raise invalid(f"Invalid currency: {currency}.", f"{param}[currency]")
    product = _product_of(tx, data, param)
    amount: Any = data.get("unit_amount")
    if amount is None or amount < 0:
        raise invalid("unit_amount must be a non-negative integer.", f"{param}[unit_amount]")
    recurring = data.get("recurring")
    price = new(
        tx,
        "price",
        active=False,
        currency=currency,
        product=product,
        unit_amount=amount,
        unit_amount_decimal=str(amount),
        tax_behavior=data.get("tax_behavior", "unspecified"),
        type="recurring" if recurring else "one_time",
    )
    if recurring:
        price["recurring"] = {
            "meter": None,
            "usage_type": "licensed",
            "interval": recurring["interval"],
            "interval_count": recurring.get("interval_count", 1),
        }
    return tx.insert(price)


def _product_of(tx: Transaction, data: Body, param: str) -> str:
    if ("product" in data) == ("product_data" in data):
        raise invalid("Give exactly one of product and product_data.", f"{param}[product]")
    if "product" in data:
        found: str = load_product(tx, data["product"], f"{param}[product]")["id"]
        return found
    given = {k: v for k, v in data["product_data"].items() if k in {"name", "description"}}
    product_id: str = create_product(tx, given)["id"]
    return product_id
