-- about: Shops
-- question: What did each store turn over in each of the last twelve months, by turnover group?
SELECT booked_month AS month, store, turnover_group, sum(turnover) AS turnover, count(*) AS lines
FROM reporting.sales_lines
WHERE booked_month >= date_trunc('month', reporting.now()) - interval '12 months' AND is_booked
GROUP BY month, store, turnover_group
ORDER BY month DESC, turnover DESC, store, turnover_group
LIMIT 12;
