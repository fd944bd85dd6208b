-- about: Lease
-- question: Which leases end within the next six months, so that somebody should call?
SELECT order_number, cyclist_name, company_name, bike, (ends_at AT TIME ZONE 'Europe/Amsterdam')::date AS ends_on
FROM reporting.lease_orders
WHERE ends_at >= reporting.now() AND ends_at < reporting.now() + interval '6 months'
ORDER BY ends_at, order_number
LIMIT 10;
