//! Who waits for the lock on the leadership's row hears of it in time.

use std::io::{Read as _, Write as _};
use std::os::unix::net::UnixStream;

use super::*;

/// A coordinator's session, of which all is sent but the last message, which commits.
struct Paused(UnixStream);

impl Paused {
    fn within(server: &PostgresServer, statement: &str) -> Self {
        let mut session = Self(UnixStream::connect(server.socket()).unwrap());
        let parameters = "user\0marquetry\0database\0postgres\0application_name\0marquetry\0\0";
        let mut startup = 0x0003_0000_u32.to_be_bytes().to_vec(); // the protocol's version, 3.0
        startup.extend(parameters.as_bytes());
        session.send(None, &startup);
        session.receive(b'Z'); // it is ready
        session.send(Some(b'P'), format!("\0{statement}\0\0\0").as_bytes()); // parse
        session.send(Some(b'B'), &[0; 8]); // bind, without parameters
        session.send(Some(b'E'), &[0; 5]); // execute
        session.send(Some(b'H'), &[]); // and say so
        session.receive(b'C'); // it is executed
        session
    }

    /// Whether the last message is taken.
    fn goes_on(&mut self) -> bool {
        let sync = [b'S', 0, 0, 0, 4];
        let mut kind = [0];
        let answered = self
            .0
            .write_all(&sync)
            .and_then(|()| self.0.read_exact(&mut kind));
        answered.is_ok() && kind == *b"Z"
    }

    fn send(&mut self, kind: Option<u8>, body: &[u8]) {
        let length = u32::try_from(body.len() + 4).unwrap();
        let message: Vec<u8> = kind
            .into_iter()
            .chain(length.to_be_bytes())
            .chain(body.iter().copied())
            .collect();
        self.0.write_all(&message).unwrap();
    }

    /// Reads messages up to one of that kind.
    fn receive(&mut self, wanted: u8) {
        loop {
            let mut head = [0; 5];
            self.0.read_exact(&mut head).unwrap();
            let [kind, length @ ..] = head;
            let mut body = vec![0; usize::try_from(u32::from_be_bytes(length)).unwrap() - 4];
            self.0.read_exact(&mut body).unwrap();
            assert_ne!(kind, b'E', "{}", String::from_utf8_lossy(&body));
            if kind == wanted {
                return;
            }
        }
    }
}

const SHORT: Duration = Duration::from_millis(100);

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn whoever_waits_for_a_lock_in_vain_hears_of_it_and_nothing_was_done() {
    let Some(server) = PostgresServer::start() else {
        return;
    };
    let url = server.new_journal();
    let (a, b) = (waiting(&url, SHORT).await, waiting(&url, SHORT).await);
    let over = |name: &str| candidate(name, Duration::ZERO);
    let won = a.campaign(&over("a")).await;
    assert_eq!(won, Ok(Campaign::Won(Epoch(1))));

    let mut stranger = stranger(&server).await;
    let lock = stranger.transaction().await.unwrap();
    let sql = "SELECT FROM journal0.leadership FOR UPDATE";
    lock.query_one(sql, &[]).await.unwrap();
    let lost = b.campaign(&over("b")).await;
    assert!(
        matches!(&lost, Ok(Campaign::Lost(leader)) if leader.name == "a"),
        "{lost:?}"
    );
    let run = samples::run_id(1);
    let records = samples::begun_run(&run, "retail", None);
    // To the leader itself it is an error that certainly had no effect.
    for refused in [
        a.append(Epoch(1), records.clone()).await,
        a.renew(Epoch(1), SHORT).await,
        a.campaign(&over("a")).await.map(|_| ()),
    ] {
        assert!(
            matches!(&refused, Err(JournalError::Storage { reason, .. }) if reason.contains("lock timeout")),
            "{refused:?}"
        );
    }
    // A stranger's session is not ours to end.
    lock.commit().await.unwrap();
    assert_eq!(
        a.list_runs(&RunFilter::default(), &Page::first(1)).await,
        Ok(vec![])
    );
    a.append(Epoch(1), records).await.unwrap();
    assert_eq!(b.campaign(&over("b")).await, Ok(Campaign::Won(Epoch(2))));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_coordinator_that_is_paused_within_a_commit_keeps_nobody_from_leading() {
    let Some(server) = PostgresServer::start() else {
        return;
    };
    let url = server.new_journal();
    let (a, b) = (waiting(&url, SHORT).await, waiting(&url, SHORT).await);
    let over = |name: &str| candidate(name, Duration::ZERO);
    a.campaign(&over("a")).await.unwrap();
    let mut paused = Paused::within(&server, "SELECT FROM journal0.leadership FOR SHARE");
    let start = std::time::Instant::now();
    let won = loop {
        match b.campaign(&over("b")).await.unwrap() {
            Campaign::Won(epoch) => break epoch,
            Campaign::Lost(leader) => assert_eq!(leader.name, "a"),
        }
        assert!(start.elapsed() < Duration::from_secs(30), "it never wins");
    };
    assert_eq!(won, Epoch(2));
    assert!(!paused.goes_on(), "its session is ended");
}
