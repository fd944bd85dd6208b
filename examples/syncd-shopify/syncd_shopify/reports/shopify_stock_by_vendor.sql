-- about: Web shop
-- question: How much of each vendor is in stock in the web shop, and what is it worth at today's prices?
SELECT product.vendor, count(DISTINCT product.product_id) AS products, sum(variant.inventory_quantity) AS pieces,
       sum(variant.inventory_quantity * variant.price) AS value
FROM shopify.products AS product
JOIN shopify.product_variants AS variant ON (variant.source, variant.product_id) = (product.source, product.product_id)
WHERE product._deleted_at IS NULL AND variant._deleted_at IS NULL AND product.status = 'active'
  AND variant.inventory_quantity > 0
GROUP BY product.vendor
ORDER BY value DESC, product.vendor;
