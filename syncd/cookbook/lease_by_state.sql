-- about: Lease
-- question: What became of the lease orders of the last two years, and what do they bring?
SELECT state, sum(orders) AS orders, sum(lease_cost) AS lease_cost, sum(lease_value) AS lease_value
FROM reporting.lease_pipeline
WHERE month >= date_trunc('month', reporting.now()) - interval '2 years'
GROUP BY state
ORDER BY orders DESC, state;
