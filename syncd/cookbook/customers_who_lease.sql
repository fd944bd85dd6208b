-- about: Across sources
-- question: Which customers of the shops lease a bike through their company?
SELECT customer_id, customer_name, cyclist_name, company_name, email
FROM reporting.customer_cyclists
WHERE matches = 1
ORDER BY customer_id;
