-- about: Shops
-- question: Which leads are still open, and for how long?
SELECT lead_type, status, bike, store_id, customer_name, phone, days_open
FROM reporting.leads
WHERE is_open
ORDER BY days_open DESC, lead_id;
