-- about: Shops
-- question: How much discount did each seller give in the last twelve months?
SELECT seller, count(*) FILTER (WHERE discount <> 0) AS lines, sum(discount) AS discount,
       round(100 * sum(discount) / nullif(sum(turnover) + sum(discount), 0), 1) AS percent
FROM reporting.sales_lines
WHERE booked_month >= date_trunc('month', reporting.now()) - interval '12 months' AND is_booked
GROUP BY seller
ORDER BY discount DESC, seller;
