-- about: Lease
-- question: Where can a cyclist go for each brand?
SELECT brand, count(*) AS dealers, string_agg(DISTINCT city, ', ' ORDER BY city) AS cities
FROM reporting.dealer_brands
GROUP BY brand
ORDER BY dealers DESC, brand;
