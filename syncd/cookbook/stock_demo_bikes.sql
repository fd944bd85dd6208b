-- about: Shops
-- question: Which demonstration bikes could be sold off, oldest first?
SELECT store_name, brand, description, stocked_on, purchase_price, retail_price
FROM reporting.stock_objects
WHERE is_demo
ORDER BY stocked_on, store_id, object_id
LIMIT 10;
