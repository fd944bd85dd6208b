-- about: Shops
-- question: Which customers of the last two years were in the list before, by their e-mail address?
SELECT customers.customer_id, customers.full_name, customers.created_at, earlier.customer_id AS earlier_id,
       earlier.full_name AS earlier_name
FROM reporting.customers
JOIN reporting.customers AS earlier
  ON earlier.source = customers.source AND lower(earlier.email) = lower(customers.email)
     AND earlier.customer_id < customers.customer_id
WHERE customers.created_at >= reporting.now() - interval '2 years'
ORDER BY customers.created_at DESC, earlier_id
LIMIT 10;
