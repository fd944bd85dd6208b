-- about: Shops
-- question: How many bikes of each lease company does the workshop know, and what did their repairs of the last twelve months cost?
WITH repairs AS (
  SELECT source, repair_object_id AS object_id, count(*) AS repairs, count(*) FILTER (WHERE invoice_number IS NULL) AS open,
         sum(price_in_vat) AS price
  FROM reporting.workshop_orders
  WHERE created_month >= date_trunc('month', reporting.now()) - interval '12 months' AND is_lease_bike
  GROUP BY source, repair_object_id
)
SELECT lease_company, count(*) AS bikes, count(DISTINCT contract_number) AS contracts,
       coalesce(sum(repairs), 0) AS repairs, coalesce(sum(open), 0) AS not_invoiced, sum(price) AS price_in_vat
FROM reporting.lease_bikes LEFT JOIN repairs USING (source, object_id)
GROUP BY source, lease_company_id, lease_company
ORDER BY bikes DESC, lease_company
LIMIT 10;
