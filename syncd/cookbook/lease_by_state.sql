-- about: Lease
-- question: What is in the pipeline, by state, and what does it bring?
SELECT state, sum(orders) AS orders, sum(lease_cost) AS lease_cost, sum(lease_value) AS lease_value
FROM reporting.lease_pipeline
GROUP BY state
ORDER BY orders DESC, state;
