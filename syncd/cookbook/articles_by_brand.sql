-- about: Shops
-- question: How many articles do we sell of each brand, and how many of their bikes can be sold now?
SELECT brand, count(*) AS articles, count(*) FILTER (WHERE is_object) AS bike_models,
       sum(objects) AS bikes, sum(objects_available) AS available
FROM reporting.articles
GROUP BY brand
ORDER BY articles DESC, brand
LIMIT 10;
