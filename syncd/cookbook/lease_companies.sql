-- about: Lease
-- question: Which companies leased most in the last two years?
SELECT company_name, count(*) AS orders, count(DISTINCT cyclist_id) AS cyclists, sum(lease_cost) AS lease_cost,
       sum(lease_value) AS lease_value
FROM reporting.lease_orders
WHERE created_month >= date_trunc('month', reporting.now()) - interval '2 years'
GROUP BY company_id, company_name
ORDER BY lease_value DESC, company_name
LIMIT 10;
