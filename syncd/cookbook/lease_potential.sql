-- about: Lease
-- question: In which companies do the most cyclists not lease yet?
SELECT company_name, count(*) AS cyclists, count(*) FILTER (WHERE orders = 0) AS without_order
FROM reporting.cyclists
GROUP BY company_id, company_name
ORDER BY without_order DESC, company_name
LIMIT 10;
