(SELECT s.county_id, s.deed_key, s.sale_date, s.sale_year, s.sale_type, s.ratio_code, s.county_ratio_code, s.is_qualified, s.is_confidential, s.land_only,
    s.parcels, coalesce(m.valued_parcels, 0) AS valued_parcels, s.sale_price, m.market_value,
    CASE WHEN s.sale_price > 0 AND m.valued_parcels = s.parcels THEN round(m.market_value / s.sale_price, 6) END AS ratio
  FROM (SELECT n.*, date_part('year', n.sale_date)::integer AS sale_year FROM pacs.sale AS n WHERE n._deleted_at IS NULL AND {readable:n}) AS s
  LEFT JOIN (SELECT p.county_id, p.deed_key, v.tax_year, count(v.market_value) AS valued_parcels, sum(v.market_value) AS market_value
    FROM pacs.sale_property AS p JOIN pacs.value_history AS v ON v.county_id = p.county_id AND v.property_id = p.property_id
      AND v._deleted_at IS NULL AND v.roll_status IS DISTINCT FROM 'future'
    WHERE p._deleted_at IS NULL AND {readable:p} GROUP BY p.county_id, p.deed_key, v.tax_year) AS m
  ON m.county_id = s.county_id AND m.deed_key = s.deed_key AND m.tax_year = s.sale_year)
