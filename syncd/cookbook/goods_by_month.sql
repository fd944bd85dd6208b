-- about: Shops
-- question: What did each supplier deliver in the last twelve months, by month?
SELECT month, supplier, count(*) AS items, sum(quantity) AS quantity, sum(total) AS purchase_value
FROM reporting.goods_received
WHERE received_at >= reporting.now() - interval '12 months'
GROUP BY month, supplier
ORDER BY month DESC, purchase_value DESC, supplier
LIMIT 10;
