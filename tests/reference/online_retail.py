#!/usr/bin/env python3
"""What the segmentation of the whole Online Retail data must be, computed without Marquetry.

    python3 online_retail.py DATA OUT        DATA/*.csv are the invoice lines, OUT a folder to write into

DuckDB makes lines, customers and RFM scores, and pandas the customers a second time: this script fails if
the two disagree. scikit-learn scales, clusters and judges. ../tests/online_retail compares the outputs of
online_retail.yaml, whose stages have the names of the Parquet files here, with them. figures.json holds the
metrics of stages by stage, and under "headline" what is known of the data.
"""
import json
import pathlib
import sys

import duckdb
import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
from scipy.spatial.distance import cdist
from sklearn.cluster import KMeans
from sklearn.metrics import adjusted_rand_score, calinski_harabasz_score, davies_bouldin_score, silhouette_score
from sklearn.preprocessing import MinMaxScaler, StandardScaler

DATA, OUT = map(pathlib.Path, sys.argv[1:])
DAY = 86_400e6  # microseconds
K = 6

# The columns that are scaled, as online_retail.yaml names them.
LOG1P = ["recency_days", "frequency", "monetary", "avg_order_value", "gap_mean_days", "gap_std_days",
         "distinct_products", "tenure_days"]
PLAIN = ["weekend_share", "hour_sin", "hour_cos"]
RANGED = ["recency_days", "gap_mean_days", "cancel_rate", "items"]

# The usual segments, by the recency score (down, from 5) and the mean of the other two, halves up (across, from 1).
SEGMENTS = {
    5: ["New Customers", "Potential Loyalists", "Potential Loyalists", "Champions", "Champions"],
    4: ["Promising", "Potential Loyalists", "Potential Loyalists", "Loyal Customers", "Loyal Customers"],
    3: ["About To Sleep", "About To Sleep", "Need Attention", "Loyal Customers", "Loyal Customers"],
    2: ["Lost", "Hibernating", "At Risk", "At Risk", "Can't Lose Them"],
    1: ["Lost", "Lost", "At Risk", "At Risk", "Can't Lose Them"],
}


def lines_of(con):
    """All lines, then those that count: of a known customer, and cancelled or sold for a price."""
    con.execute(f"""
    CREATE TABLE source AS
    SELECT InvoiceNo AS order_id, StockCode AS product_id, Quantity AS quantity, UnitPrice AS unit_price,
           InvoiceDate AS ts, CustomerID::BIGINT AS customer_id, Country AS country
    FROM read_csv('{DATA}/*.csv', header = true, columns = {{'InvoiceNo': 'VARCHAR', 'StockCode': 'VARCHAR',
        'Description': 'VARCHAR', 'Quantity': 'BIGINT', 'InvoiceDate': 'TIMESTAMP', 'UnitPrice': 'DOUBLE',
        'CustomerID': 'DOUBLE', 'Country': 'VARCHAR'}})""")
    con.execute("""
    CREATE TABLE lines AS
    SELECT *, order_id LIKE 'C%' AS cancelled FROM source
    WHERE customer_id IS NOT NULL AND (order_id LIKE 'C%' OR (quantity > 0 AND unit_price > 0))""")
    return con.sql("SELECT * FROM lines").to_arrow_table()


def customers_of(con):
    """The table of `features/customer`, in UTC, with the most frequent country."""
    return con.execute(f"""
    WITH live AS (SELECT *, epoch_us(ts) AS us FROM lines WHERE NOT cancelled),
    moment AS (SELECT epoch_us(date_trunc('day', max(ts)) + INTERVAL 1 DAY) AS as_of FROM live),
    o AS (SELECT customer_id, order_id, min(us) AS first, max(us) AS last, sum(quantity) AS items,
                 sum(quantity * unit_price) AS amount FROM live GROUP BY ALL),
    g AS (SELECT *, (first - lag(first) OVER (PARTITION BY customer_id ORDER BY first, order_id)) / {DAY} AS gap,
                 hour(make_timestamp(first)) * (2 * pi() / 24) AS h, isodow(make_timestamp(first)) >= 6 AS weekend
          FROM o),
    p AS (SELECT customer_id, (any_value(as_of) - max(last)) / {DAY} AS recency_days,
                 (any_value(as_of) - min(first)) / {DAY} AS tenure_days, count(*) AS frequency,
                 sum(items)::BIGINT AS items, sum(amount) AS monetary, sum(amount) / count(*) AS avg_order_value,
                 avg(gap) AS gap_mean_days, stddev_samp(gap) AS gap_std_days,
                 avg(weekend::INT::DOUBLE) AS weekend_share, avg(sin(h)) AS hour_sin, avg(cos(h)) AS hour_cos
          FROM g, moment GROUP BY 1),
    d AS (SELECT customer_id, count(DISTINCT product_id) AS distinct_products FROM live GROUP BY 1),
    c AS (SELECT customer_id, avg(c::INT::DOUBLE) AS cancel_rate FROM
            (SELECT customer_id, order_id, bool_and(cancelled) AS c FROM lines GROUP BY ALL) GROUP BY 1),
    t AS (SELECT customer_id, first(country ORDER BY n DESC, country) AS top_country FROM
            (SELECT customer_id, country, count(*) AS n FROM live GROUP BY ALL) GROUP BY 1)
    SELECT customer_id, recency_days, tenure_days, frequency, items, distinct_products, monetary, avg_order_value,
           gap_mean_days, gap_std_days, weekend_share, hour_sin, hour_cos, cancel_rate, top_country
    FROM p JOIN d USING (customer_id) JOIN c USING (customer_id) JOIN t USING (customer_id)
    ORDER BY customer_id""").df()


def check_by_pandas(customers):
    """The same table by pandas, from the files themselves."""
    texts = {name: str for name in ("InvoiceNo", "StockCode", "Country", "Description")}
    parts = [pd.read_csv(file, dtype=texts, keep_default_na=False, na_values={"CustomerID": [""]},
                         parse_dates=["InvoiceDate"]) for file in sorted(DATA.glob("*.csv"))]
    d = pd.concat(parts)
    d = d[d.CustomerID.notna()].assign(customer_id=lambda x: x.CustomerID.astype("int64"))
    d["cancelled"] = d.InvoiceNo.str.startswith("C")
    d = d[d.cancelled | ((d.Quantity > 0) & (d.UnitPrice > 0))]
    live = d[~d.cancelled].assign(amount=lambda x: x.Quantity * x.UnitPrice)
    as_of = live.InvoiceDate.max().normalize() + pd.Timedelta(days=1)
    o = live.groupby(["customer_id", "InvoiceNo"]).agg(
        first=("InvoiceDate", "min"), last=("InvoiceDate", "max"), items=("Quantity", "sum"), amount=("amount", "sum"))
    o = o.reset_index().sort_values(["customer_id", "first", "InvoiceNo"])
    day = pd.Timedelta(days=1)
    h = o["first"].dt.hour * (2 * np.pi / 24)
    o = o.assign(gap=o.groupby("customer_id")["first"].diff() / day, s=np.sin(h), c=np.cos(h),
                 weekend=(o["first"].dt.day_of_week >= 5).astype(float))
    p = o.groupby("customer_id").agg(
        last=("last", "max"), first=("first", "min"), frequency=("first", "size"), items=("items", "sum"),
        monetary=("amount", "sum"), gap_mean_days=("gap", "mean"), gap_std_days=("gap", "std"),
        weekend_share=("weekend", "mean"), hour_sin=("s", "mean"), hour_cos=("c", "mean"))
    p["recency_days"], p["tenure_days"] = (as_of - p["last"]) / day, (as_of - p["first"]) / day
    p["avg_order_value"] = p.monetary / p.frequency
    p["distinct_products"] = live.groupby("customer_id").StockCode.nunique()
    fate = d.groupby(["customer_id", "InvoiceNo"]).cancelled.all().groupby("customer_id").mean()
    p["cancel_rate"] = fate.reindex(p.index)
    n = live.groupby(["customer_id", "Country"]).size().reset_index(name="n")
    n = n.sort_values(["customer_id", "n", "Country"], ascending=[True, False, True])
    p["top_country"] = n.drop_duplicates("customer_id").set_index("customer_id").Country
    p = p.sort_index().reset_index()
    for name in customers.columns:
        if customers[name].dtype.kind in "if":
            np.testing.assert_allclose(p[name].astype(float), customers[name].astype(float), rtol=1e-12, atol=1e-14,
                                       err_msg=name)
        else:
            assert (p[name] == customers[name]).all(), name


def rfm_of(con, customers):
    """Scores by NTILE with the customer as tie-breaker, and the names of the segments."""
    con.register("customers", customers)
    rfm = con.execute("""
    SELECT customer_id, ntile(5) OVER (ORDER BY recency_days DESC, customer_id) AS r,
           ntile(5) OVER (ORDER BY frequency, customer_id) AS f,
           ntile(5) OVER (ORDER BY monetary, customer_id) AS m
    FROM customers ORDER BY customer_id""").df()
    # Sums differ in their last digits with the order of lines: none may lie so near the border of a fifth.
    for column in ("recency_days", "frequency", "monetary"):
        ordered = np.sort(customers[column].astype(float))
        for fifth in range(1, 5):
            at = len(ordered) * fifth // 5
            steps = np.diff(ordered[at - 2:at + 3])
            assert ((steps == 0) | (steps > 1e-6)).all(), (column, ordered[at - 2:at + 3])
    rfm["rfm"] = [f"{r}{f}{m}" for r, f, m in zip(rfm.r, rfm.f, rfm.m)]
    rfm["segment"] = [SEGMENTS[r][(f + m + 1) // 2 - 1] for r, f, m in zip(rfm.r, rfm.f, rfm.m)]
    return rfm


def scaled_of(customers):
    """Missing gaps are 0, the logarithm of 1 + value where it is asked for, then mean 0 and deviation 1."""
    x = customers[LOG1P + PLAIN].astype(float).fillna(0.0)
    x[LOG1P] = np.log1p(x[LOG1P])
    return pd.DataFrame(StandardScaler().fit_transform(x.to_numpy()), columns=x.columns)


def ranged_of(customers):
    """Missing gaps are the median, then 0 to 1; and one column per country."""
    x = customers[RANGED].astype(float)
    x = x.fillna(x.median())
    ranged = pd.DataFrame(MinMaxScaler().fit_transform(x.to_numpy()), columns=x.columns)
    for country in sorted(customers.top_country.unique(), key=lambda name: name.encode()):
        ranged[f"top_country={country}"] = (customers.top_country == country).astype(float)
    return ranged


def quality_of(x, segments, distances, against):
    """The metrics of `evaluation/clusters`. The silhouette is exact over all customers."""
    sizes = pd.Series(segments).value_counts()
    return {
        "customers": len(segments), "clusters": len(sizes), "silhouette_customers": len(segments),
        "smallest_share": sizes.min() / len(segments),
        "silhouette": silhouette_score(distances, segments, metric="precomputed"),
        "davies_bouldin": davies_bouldin_score(x, segments),
        "calinski_harabasz": calinski_harabasz_score(x, segments),
        "adjusted_rand_index": adjusted_rand_score(segments, against),
    }


def sizes_of(segments, money):
    """Customers and revenue of each segment."""
    g = pd.DataFrame({"segment": segments, "money": money}).groupby("segment").money
    sizes = g.agg(customers="size", revenue="sum").reset_index()
    sizes["share"] = sizes.customers / len(segments)
    sizes["revenue_share"] = sizes.revenue / np.sum(money)
    return sizes


def write(name, table):
    if isinstance(table, pd.DataFrame):
        table = pa.Table.from_pandas(table, preserve_index=False)
    pq.write_table(table, OUT / f"{name}.parquet")


def main():
    OUT.mkdir(parents=True, exist_ok=True)
    con = duckdb.connect()
    # One thread, so that sums have one order.
    con.execute("SET TimeZone = 'UTC'; SET threads = 1")
    lines = lines_of(con)
    customers = customers_of(con)
    check_by_pandas(customers)
    rfm = rfm_of(con, customers)
    key = customers[["customer_id"]]
    scaled = scaled_of(customers)
    x = scaled.to_numpy()

    # Customers at equal steps through the ids.
    start = x[[len(x) * (2 * i + 1) // (2 * K) for i in range(K)]]
    km = KMeans(K, init=start, n_init=1, max_iter=300, tol=1e-4, algorithm="lloyd").fit(x)
    columns = list(scaled.columns)
    centres = pd.DataFrame(km.cluster_centers_, columns=columns)
    centres.insert(0, "segment", np.arange(K))
    centres.insert(1, "customers", np.bincount(km.labels_, minlength=K))
    segments = key.assign(segment=km.labels_.astype("int64"),
                          distance=np.sqrt(((x - km.cluster_centers_[km.labels_]) ** 2).sum(axis=1)))
    # Differences, not scikit-learn's faster expansion of the square, which rounds small distances to 1e-8.
    distances = cdist(x, x)

    tables = {
        "lines": lines, "customers": customers, "rfm": rfm,
        "scaled": pd.concat([key, scaled], axis=1), "ranged": pd.concat([key, ranged_of(customers)], axis=1),
        "start": pd.DataFrame(start, columns=columns).assign(segment=np.arange(K)),
        "segments": segments, "centres": centres,
        "quality": sizes_of(km.labels_.astype("int64"), customers.monetary),
        "rfm_quality": sizes_of(rfm.segment, customers.monetary),
    }
    for name, table in tables.items():
        write(name, table)

    one = lambda sql: con.execute(sql).fetchone()[0]
    figures = {
        "headline": {
            "lines": one("SELECT count(*) FROM source"),
            "ids": one("SELECT count(DISTINCT customer_id) FROM source"),
            "lines_without_customer": one("SELECT count(*) FROM source WHERE customer_id IS NULL"),
            "cancellation_lines": one("SELECT count(*) FROM source WHERE order_id LIKE 'C%'"),
        },
        "source": {
            "files": len(list(DATA.glob("*.csv"))), "rows_read": one("SELECT count(*) FROM source"),
            "rows_accepted": one("SELECT count(*) FROM source"), "rows_rejected": 0,
        },
        "lines": {"rows": len(lines)},
        "customers": {
            "customers": len(customers), "orders": customers.frequency.sum(),
            "lines": one("SELECT count(*) FROM lines WHERE NOT cancelled"), "lines_without_customer": 0,
        },
        "rfm": {"customers": len(rfm), "segments": rfm.segment.nunique()},
        "scaled": {"rows": len(scaled), "columns": len(columns)},
        "segments": {"k": K, "customers": len(x), "inertia": km.inertia_, "iterations": km.n_iter_},
        "quality": quality_of(x, km.labels_, distances, rfm.segment),
        "rfm_quality": quality_of(x, rfm.segment, distances, km.labels_),
    }
    (OUT / "figures.json").write_text(json.dumps(figures, indent=1, default=float) + "\n")


main()
