-- about: Across sources
-- question: Which customers who came in the last two years lease a bike through their company?
SELECT customer_id, customer_name, cyclist_name, company_name, email
FROM reporting.customer_cyclists
WHERE customer_since >= reporting.now() - interval '2 years' AND matches = 1
ORDER BY customer_id;
