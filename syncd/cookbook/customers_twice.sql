-- about: Shops
-- question: Which customers of the last two years were in the list before, by their e-mail address?
WITH known AS MATERIALIZED ( -- else each customer would be compared with all earlier ones
  SELECT source, customer_id, full_name, created_at, lower(email) AS address FROM reporting.customers
  WHERE email IS NOT NULL
)
SELECT customers.customer_id, customers.full_name, customers.created_at, earlier.customer_id AS earlier_id,
       earlier.full_name AS earlier_name
FROM known AS customers
JOIN known AS earlier USING (source, address)
WHERE earlier.customer_id < customers.customer_id AND customers.created_at >= reporting.now() - interval '2 years'
ORDER BY customers.created_at DESC, earlier_id
LIMIT 10;
