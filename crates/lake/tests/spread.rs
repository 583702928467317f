//! Queries over data planes in this process: the same rows as without, and a plan that cannot be sent.

#![expect(clippy::unwrap_used, clippy::panic, reason = "tests")]

use std::sync::{Arc, Mutex};

use arrow::array::{ArrayRef, AsArray, Float64Array, Int64Array, RecordBatch};
use arrow::datatypes::{DataType, Float64Type, Int64Type};
use arrow::util::pretty::pretty_format_batches;
use datafusion::logical_expr::{ColumnarValue, ScalarUDF, Volatility, create_udf};
use datafusion::prelude::SessionContext;
use marquetry_types::{DatasetRef, Membership, Parallelism, Peer, Secret};
use tokio::net::TcpListener;
use tokio_stream::wrappers::TcpListenerStream;
use tonic::transport::Server;

use marquetry_lake::{
    FragmentOptions, Functions, Lake, LazySession, PLAN_VERSION, PeerConnections, PeerLost, Peers,
    QueryNote, SessionOptions, Spread, WriteOptions, fragment_routes, table,
};

/// A lake with some lines of orders, and data planes over it.
struct House {
    folder: tempfile::TempDir,
    lake: Lake,
    lines: DatasetRef,
    planes: Vec<String>,
    /// What queries may call, here and there.
    functions: Functions,
    connections: PeerConnections,
    notes: Arc<Mutex<Vec<QueryNote>>>,
}

impl House {
    async fn new(planes: usize) -> Self {
        Self::knowing(planes, Functions::default()).await
    }

    async fn knowing(planes: usize, functions: Functions) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let location = folder.path().join("lake");
        let lake = Lake::open(location.to_str().unwrap()).await.unwrap();
        let rows = 20_000_i64;
        let columns: [(&str, ArrayRef); 3] = [
            (
                "customer",
                Arc::new((0..rows).map(|row| row * 7 % 997).collect::<Int64Array>()),
            ),
            (
                "price",
                Arc::new(
                    (0..rows)
                        .map(|row| (row % 113) as f64 / 7.0)
                        .collect::<Float64Array>(),
                ),
            ),
            ("row", Arc::new((0..rows).collect::<Int64Array>())),
        ];
        let batch = RecordBatch::try_from_iter(columns).unwrap();
        let mut writer = lake
            .dataset_writer("lines", batch.schema(), WriteOptions::default())
            .await
            .unwrap();
        for start in (0..batch.num_rows()).step_by(5_000) {
            writer.write(&batch.slice(start, 5_000)).await.unwrap();
        }
        let lines = writer.finish().await.unwrap();
        let mut house = Self {
            folder,
            lake,
            lines,
            planes: Vec::new(),
            functions,
            connections: PeerConnections::default(),
            notes: Arc::default(),
        };
        for _ in 0..planes {
            house.add_plane().await;
        }
        house
    }

    async fn add_plane(&mut self) {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("http://{}", listener.local_addr().unwrap());
        let options = FragmentOptions {
            memory_limit: 64 << 20,
            spill_dir: self.folder.path().join("spill"),
            authority: None,
            functions: self.functions.clone(),
        };
        let routes = fragment_routes(&self.lake, &options).unwrap();
        tokio::spawn(async move {
            let incoming = TcpListenerStream::new(listener);
            let server = Server::builder().add_routes(routes);
            server.serve_with_incoming(incoming).await.unwrap();
        });
        self.planes.push(url);
    }

    async fn session(&self, parallelism: Parallelism) -> SessionContext {
        let peers = self.planes.iter().map(|url| Peer {
            url: url.clone(),
            version: PLAN_VERSION.to_owned(),
        });
        let membership = Membership {
            peers: peers.collect(),
            secret: Secret::new("s"),
        };
        let notes = Arc::clone(&self.notes);
        let spread = Spread {
            parallelism,
            peers: Peers::new(&membership, None),
            functions: self.functions.clone(),
            connections: self.connections.clone(),
            listener: Arc::new(move |note| notes.lock().unwrap().push(note)),
        };
        let options = SessionOptions {
            memory_limit: 64 << 20,
            spill_dir: self.folder.path().join("spill"),
            threads: 1,
        };
        let session = LazySession::new(&self.lake, options).spread_over(&spread);
        let session = session.get().clone();
        let lines = table(&self.lake, &session, &self.lines).await.unwrap();
        session.register_table("lines", lines).unwrap();
        session
    }

    fn notes(&self) -> Vec<QueryNote> {
        std::mem::take(&mut self.notes.lock().unwrap())
    }
}

const QUERY: &str = "WITH totals AS (SELECT customer, count(*) AS n, sum(price) AS total FROM lines \
     GROUP BY customer), firsts AS (SELECT customer, row, row_number() OVER \
     (PARTITION BY customer ORDER BY price DESC, row) AS place FROM lines) \
     SELECT totals.customer, n, total, row FROM totals JOIN firsts \
     ON firsts.customer = totals.customer WHERE place = 1 ORDER BY totals.customer";

/// Customers, counts, totals and rows of the query.
async fn rows(session: &SessionContext, query: &str) -> Vec<(i64, i64, f64, i64)> {
    let batches = session.sql(query).await.unwrap().collect().await.unwrap();
    let mut rows = Vec::new();
    for batch in &batches {
        let integers = |column: usize| batch.column(column).as_primitive::<Int64Type>().clone();
        let (customers, counts, firsts) = (integers(0), integers(1), integers(3));
        let totals = batch.column(2).as_primitive::<Float64Type>();
        for row in 0..batch.num_rows() {
            rows.push((
                customers.value(row),
                counts.value(row),
                totals.value(row),
                firsts.value(row),
            ));
        }
    }
    rows
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_query_over_three_workers_gives_the_rows_of_one_and_says_how_it_was_spread() {
    let house = House::new(3).await;
    let local = rows(&house.session(Parallelism::Local).await, QUERY).await;
    assert_eq!(house.notes(), []);
    let spread = rows(&house.session(Parallelism::Cluster).await, QUERY).await;
    assert_eq!(local.len(), 997);
    assert_eq!(local.len(), spread.len());
    for (left, right) in local.iter().zip(&spread) {
        assert_eq!((left.0, left.1, left.3), (right.0, right.1, right.3));
        assert!(
            (left.2 - right.2).abs() <= 1e-9 * left.2.abs(),
            "{left:?} {right:?}"
        );
    }
    let notes = house.notes();
    let [
        QueryNote::Spread {
            workers: 3,
            tasks,
            rows,
            bytes,
        },
    ] = notes[..]
    else {
        panic!("{notes:?}")
    };
    assert!(tasks >= 6 && rows >= 997 && bytes > 10_000, "{notes:?}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_is_small_stays_where_it_is_unless_it_must_be_spread() {
    let house = House::new(2).await;
    let auto = rows(&house.session(Parallelism::Auto).await, QUERY).await;
    assert_eq!((auto.len(), house.notes()), (997, Vec::new()));
    let alone = House::new(1).await;
    let one = rows(&alone.session(Parallelism::Cluster).await, QUERY).await;
    assert_eq!(
        (one.len(), alone.notes()),
        (997, Vec::new()),
        "nobody to share with"
    );
}

/// The number with the other sign.
fn negated() -> ScalarUDF {
    let negated = Arc::new(|arguments: &[ColumnarValue]| {
        let values = ColumnarValue::values_to_arrays(arguments)?;
        let negated = values[0]
            .as_primitive::<Int64Type>()
            .unary::<_, Int64Type>(|value| -value);
        Ok(ColumnarValue::Array(Arc::new(negated)))
    });
    create_udf(
        "negated",
        vec![DataType::Int64],
        DataType::Int64,
        Volatility::Immutable,
        negated,
    )
}

/// What a house says of a query with that function.
async fn least_negated(house: &House) -> Vec<QueryNote> {
    let session = house.session(Parallelism::Cluster).await;
    session.register_udf(negated());
    let query = "SELECT min(negated(row)) FROM lines";
    let batches = session.sql(query).await.unwrap().collect().await.unwrap();
    let shown = pretty_format_batches(&batches).unwrap().to_string();
    assert!(shown.contains("-19999"), "{shown}");
    house.notes()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_function_that_every_worker_knows_is_spread() {
    let functions = Functions {
        scalar: vec![Arc::new(negated())],
        ..Functions::default()
    };
    let notes = least_negated(&House::knowing(2, functions).await).await;
    let [QueryNote::Spread { workers: 2, .. }] = &notes[..] else {
        panic!("{notes:?}")
    };
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_function_that_others_do_not_know_keeps_its_query_here() {
    let notes = least_negated(&House::new(2).await).await;
    let [QueryNote::KeptLocal { reason }] = &notes[..] else {
        panic!("{notes:?}")
    };
    assert!(reason.contains("negated"), "{reason}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_worker_that_is_gone_is_told_from_a_query_that_is_wrong() {
    let mut house = House::new(2).await;
    let session = house.session(Parallelism::Cluster).await;
    let wrong = "SELECT customer, sum(1 / (row - row)) FROM lines GROUP BY customer";
    let wrong = session.sql(wrong).await.unwrap().collect().await;
    assert_eq!(PeerLost::find(&wrong.unwrap_err()), None);
    // A third one has gone, and the membership does not know it yet.
    let gone = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("http://{}", gone.local_addr().unwrap());
    drop(gone);
    house.planes.push(url);
    let session = house.session(Parallelism::Cluster).await;
    let lost = session.sql(QUERY).await.unwrap().collect().await;
    let lost = lost.unwrap_err();
    assert!(PeerLost::find(&lost).is_some(), "{lost:?}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn connections_outlive_sessions_and_not_the_workers_they_lead_to() {
    let mut house = House::new(3).await;
    for _ in 0..3 {
        let session = house.session(Parallelism::Cluster).await;
        assert_eq!(rows(&session, QUERY).await.len(), 997);
        assert_eq!(house.connections.count(), 3);
    }
    house.planes.pop();
    let session = house.session(Parallelism::Cluster).await;
    assert_eq!(house.connections.count(), 2);
    assert_eq!(rows(&session, QUERY).await.len(), 997);
}
