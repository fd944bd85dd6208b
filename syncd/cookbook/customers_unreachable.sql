-- about: Shops
-- question: Of how many customers of the last two years do we have neither an e-mail address nor a phone number?
SELECT customer_type, count(*) AS customers, count(*) FILTER (WHERE email IS NULL) AS without_email,
       count(*) FILTER (WHERE phone IS NULL) AS without_phone,
       count(*) FILTER (WHERE email IS NULL AND phone IS NULL) AS unreachable
FROM reporting.customers
WHERE created_at >= reporting.now() - interval '2 years'
GROUP BY customer_type
ORDER BY customers DESC, customer_type;
