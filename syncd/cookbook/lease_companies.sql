-- about: Lease
-- question: Which companies lease most?
SELECT name, cyclists, orders, lease_cost, lease_value
FROM reporting.companies
ORDER BY lease_value DESC, name
LIMIT 10;
