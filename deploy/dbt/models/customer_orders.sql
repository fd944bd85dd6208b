-- Each customer of the shops with the orders that were placed and not cancelled. It holds no name and no address: join
-- reporting.customers where a report needs them, so that a forgotten person is gone from here with the next build.
select
    customers.source,
    customers.customer_id,
    customers.customer_type,
    count(orders.sales_order_id) as orders,
    count(orders.sales_order_id) filter (where orders.is_invoiced) as invoiced_orders,
    min(orders.created_at) as first_order_at,
    max(orders.created_at) as last_order_at
from {{ source('reporting', 'customers') }} as customers
left join {{ source('reporting', 'sales_orders') }} as orders
    on orders.source = customers.source
    and orders.customer_id = customers.customer_id
    and not orders.is_cancelled
group by customers.source, customers.customer_id, customers.customer_type
