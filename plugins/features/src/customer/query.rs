//! The queries of `features/customer`, over the table that `lines` makes.

use std::fmt::Write;

/// Microseconds in a day.
const DAY: &str = "86400000000.0";

/// One row per customer, sorted by customer. `top` are the names behind `top_0`, `top_1` and so on,
/// `as_of` is in microseconds since 1970.
pub(crate) fn customers(lines: &str, as_of: i64, top: &[String]) -> String {
    let mut tables = String::new();
    let mut columns = String::new();
    let mut joins = String::new();
    for (index, name) in top.iter().enumerate() {
        // Writing to a text cannot fail.
        let _ = write!(
            tables,
            ", counts_{index} AS (SELECT customer_id, top_{index}, count(*) AS n FROM live \
                WHERE top_{index} IS NOT NULL GROUP BY customer_id, top_{index}), \
             ranked_{index} AS (SELECT customer_id, top_{index}, row_number() OVER \
                (PARTITION BY customer_id ORDER BY n DESC, top_{index}) AS place FROM counts_{index}), \
             best_{index} AS (SELECT customer_id, top_{index} FROM ranked_{index} WHERE place = 1)"
        );
        let quoted = name.replace('"', "\"\"");
        let _ = write!(columns, ", best_{index}.top_{index} AS \"top_{quoted}\"");
        let _ = write!(
            joins,
            " LEFT JOIN best_{index} ON best_{index}.customer_id = c.customer_id"
        );
    }
    format!(
        "WITH known AS (SELECT * FROM {lines} WHERE customer_id IS NOT NULL), \
         live AS (SELECT * FROM known WHERE NOT cancelled), \
         orders AS (SELECT customer_id, order_id, min(ts) AS first, CAST(max(ts) AS BIGINT) AS last, \
                sum(quantity) AS items, sum(CAST(quantity AS DOUBLE) * unit_price) AS monetary \
             FROM live GROUP BY customer_id, order_id), \
         timed AS (SELECT *, CAST(first AS BIGINT) AS began, \
                CAST(date_part('hour', first) AS DOUBLE) * {HOUR_ANGLE} AS angle, \
                CASE WHEN date_part('dow', first) IN (0, 6) THEN 1.0 ELSE 0.0 END AS weekend \
             FROM orders), \
         gapped AS (SELECT *, CAST(began - lag(began) OVER \
                (PARTITION BY customer_id ORDER BY began, order_id) AS DOUBLE) / {DAY} AS gap FROM timed), \
         c AS (SELECT customer_id, min(began) AS first, max(last) AS last, count(*) AS frequency, \
                sum(items) AS items, sum(monetary) AS monetary, avg(gap) AS gap_mean, \
                stddev_samp(gap) AS gap_std, avg(weekend) AS weekend_share, \
                avg(sin(angle)) AS hour_sin, avg(cos(angle)) AS hour_cos \
             FROM gapped GROUP BY customer_id), \
         pairs AS (SELECT DISTINCT customer_id, product_id FROM live WHERE product_id IS NOT NULL), \
         products AS (SELECT customer_id, count(*) AS n FROM pairs GROUP BY customer_id), \
         fates AS (SELECT customer_id, order_id, bool_and(cancelled) AS cancelled FROM known \
             GROUP BY customer_id, order_id), \
         cancels AS (SELECT customer_id, avg(CASE WHEN cancelled THEN 1.0 ELSE 0.0 END) AS rate \
             FROM fates GROUP BY customer_id){tables} \
         SELECT c.customer_id AS customer_id, \
             CAST({as_of} - c.last AS DOUBLE) / {DAY} AS recency_days, \
             CAST({as_of} - c.first AS DOUBLE) / {DAY} AS tenure_days, \
             c.frequency AS frequency, c.items AS items, \
             coalesce(products.n, 0) AS distinct_products, c.monetary AS monetary, \
             c.monetary / CAST(c.frequency AS DOUBLE) AS avg_order_value, \
             c.gap_mean AS gap_mean_days, c.gap_std AS gap_std_days, \
             c.weekend_share AS weekend_share, c.hour_sin AS hour_sin, c.hour_cos AS hour_cos, \
             cancels.rate AS cancel_rate{columns} \
         FROM c LEFT JOIN products ON products.customer_id = c.customer_id \
             LEFT JOIN cancels ON cancels.customer_id = c.customer_id{joins} \
         ORDER BY customer_id"
    )
}

/// The angle of an hour on the face of a day, 2 pi / 24.
const HOUR_ANGLE: &str = "(2.0 * pi() / 24.0)";
