-- about: Lease
-- question: Which e-mail addresses do several cyclists share?
SELECT lower(email) AS shared_email, count(*) AS cyclists, count(DISTINCT company_id) AS companies
FROM reporting.cyclists
WHERE email IS NOT NULL
GROUP BY shared_email
HAVING count(*) > 1
ORDER BY cyclists DESC, shared_email;
