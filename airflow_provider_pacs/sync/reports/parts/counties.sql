(SELECT k.county_id, k.county, CASE left(k.county_id, 2) {years_to_payment} END AS payable_after, e.as_of, e.certificate
  FROM pacs_ops.county AS k CROSS JOIN LATERAL (
    SELECT CASE WHEN count(good.issued_at) = count(*) THEN min(good.issued_at) END AS as_of,
      (ARRAY['none', 'drift', 'blocked', 'pending', 'clean'])[min(coalesce(
        array_position(ARRAY['none', 'drift', 'blocked', 'pending', 'clean'], newest.state::text), 1))] AS certificate
    FROM unnest(ARRAY[{entities}]::text[]) AS w(entity)
    LEFT JOIN LATERAL (SELECT t.state FROM pacs_ops.certificate AS t WHERE t.county_id = k.county_id AND t.entity = w.entity
      ORDER BY t.issued_at DESC, t.certificate_id DESC LIMIT 1) AS newest ON true
    LEFT JOIN LATERAL (SELECT t.issued_at FROM pacs_ops.certificate AS t WHERE t.county_id = k.county_id AND t.entity = w.entity
      AND t.state IN ('clean', 'pending') ORDER BY t.issued_at DESC LIMIT 1) AS good ON true) AS e
  WHERE {readable:k})
