"""How large the seeded world is."""

from dataclasses import dataclass

FIRST_CUSTOMER_ID = (
    30_001  # of seeded CycleSoftware customers: above every documented sample; Cyclis knows some of them
)


@dataclass(frozen=True, kw_only=True)
class Sizes:
    """How many records of each stream the seed holds, documented samples included, and over how many days."""

    customers: int = 400
    stock_items: int = 600
    leads: int = 24
    sales_orders: int = 300
    sales_transactions: int = 90
    payments: int = 80
    workshop_orders: int = 70
    articles: int = 60
    repair_objects: int = 60
    sales_days: int = 420  # over which sales transactions are spread: a year and some weeks
    companies: int = 8
    cyclists: int = 120
    cyclis_orders: int = 200
    dealers: int = 40
    vehicles: int = 150
    makes: int = 12
    contacts: int = 30
    products: int = 120
    orders: int = 60
