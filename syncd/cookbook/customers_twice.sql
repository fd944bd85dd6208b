-- about: Shops
-- question: Which customers are probably in the list twice, by name and postcode?
SELECT full_name, postcode, count(*) AS customers,
       string_agg(customer_id::text, ', ' ORDER BY customer_id) AS customer_ids
FROM reporting.customers
GROUP BY full_name, postcode
HAVING count(*) > 1
ORDER BY customers DESC, full_name, postcode
LIMIT 10;
