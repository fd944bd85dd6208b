-- about: Shops
-- question: Which standing discounts do we give, and to how many customers?
SELECT discount_percent, count(*) AS customers
FROM reporting.customers
WHERE discount_percent > 0
GROUP BY discount_percent
ORDER BY discount_percent DESC;
