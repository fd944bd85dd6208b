-- about: Shops
-- question: Which lines of sales orders of the last two years wait longest, and is what they need there?
SELECT sales_order_id, store, description, quantity, created_at, in_stock, bikes_available, open_at_suppliers
FROM reporting.open_order_lines
WHERE created_month >= date_trunc('month', reporting.now()) - interval '2 years'
ORDER BY created_at, order_item_id
LIMIT 10;
