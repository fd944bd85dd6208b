-- about: Shops
-- question: Which customers have the most services still to come, and what have they paid for them already?
SELECT customer_id, customer_name, count(*) AS services, count(DISTINCT service_id) AS contracts,
       min(due_on) AS next_due_on, sum(paid_in_advance) AS paid_in_advance
FROM reporting.service_due
WHERE customer_id IS NOT NULL
GROUP BY customer_id, customer_name
ORDER BY services DESC, next_due_on, customer_id
LIMIT 10;
