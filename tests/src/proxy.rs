//! A TCP proxy that stands for a network: it can be cut, go silent, be slow, and heal.

use std::net::{Ipv4Addr, SocketAddr};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::tcp::{ReadHalf, WriteHalf};
use tokio::net::{TcpListener, TcpStream};
use tokio::runtime::Runtime;
use tokio::sync::{mpsc, watch};
use tokio::time::Instant;

/// Bytes that are carried at a time.
const PIECE: usize = 16 * 1024;
/// Pieces that are under way in one direction.
const UNDER_WAY: usize = 64;

/// What the network is like.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Link {
    /// Every byte arrives after the delay, so many of them a second at most.
    Open {
        delay: Duration,
        bytes_a_second: u64,
    },
    /// Connections are reset, old and new ones.
    Cut,
    /// Nothing arrives any more, and nobody is told: connections stay, and so do the bytes in them.
    Silent,
}

const SOUND: Link = Link::Open {
    delay: Duration::ZERO,
    bytes_a_second: u64::MAX,
};

/// A network between whoever connects to it and one address. It ends with the value.
#[derive(Debug)]
pub struct Proxy {
    address: SocketAddr,
    link: watch::Sender<Link>,
    figures: Arc<Figures>,
    // Dropped last: it ends all connections.
    _runtime: Runtime,
}

#[derive(Debug, Default)]
struct Figures {
    connections: AtomicU64,
    resets: AtomicU64,
    bytes: AtomicU64,
}

impl Proxy {
    /// A sound network to an address, on a free port of 127.0.0.1.
    ///
    /// # Panics
    /// There is no port or no thread for it.
    #[must_use]
    pub fn to(target: SocketAddr) -> Self {
        let runtime = tokio::runtime::Builder::new_multi_thread()
            .worker_threads(1)
            .enable_all()
            .build()
            .unwrap();
        let listener = runtime.block_on(TcpListener::bind((Ipv4Addr::LOCALHOST, 0)));
        let listener = listener.unwrap();
        let address = listener.local_addr().unwrap();
        let (link, seen) = watch::channel(SOUND);
        let figures = Arc::new(Figures::default());
        runtime.spawn(serve(listener, target, seen, Arc::clone(&figures)));
        Self {
            address,
            link,
            figures,
            _runtime: runtime,
        }
    }

    /// A sound network to a server, by its URL.
    ///
    /// # Panics
    /// The URL has no address, or as [`to`](Self::to).
    #[must_use]
    pub fn to_url(url: &str) -> Self {
        Self::to(url.split_once("://").unwrap().1.parse().unwrap())
    }

    /// Where to connect.
    #[must_use]
    pub const fn address(&self) -> SocketAddr {
        self.address
    }

    /// The URL of the server behind it.
    #[must_use]
    pub fn url(&self) -> String {
        format!("http://{}", self.address)
    }

    /// Resets every connection, and every new one, until it heals.
    pub fn cut(&self) {
        self.link.send_replace(Link::Cut);
    }

    /// Lets nothing through without a word to anybody, until it heals.
    pub fn silence(&self) {
        self.link.send_replace(Link::Silent);
    }

    /// Every byte takes so long, and a connection carries so much in each direction.
    pub fn slow_down(&self, delay: Duration, bytes_a_second: u64) {
        self.link.send_replace(Link::Open {
            delay,
            bytes_a_second,
        });
    }

    /// All is well again: what was silent goes on where it was.
    pub fn heal(&self) {
        self.link.send_replace(SOUND);
    }

    /// Connections that were made through it so far.
    #[must_use]
    pub fn connections(&self) -> u64 {
        self.figures.connections.load(Ordering::SeqCst)
    }

    /// Connections that it has reset.
    #[must_use]
    pub fn resets(&self) -> u64 {
        self.figures.resets.load(Ordering::SeqCst)
    }

    /// Bytes that it has carried.
    #[must_use]
    pub fn bytes(&self) -> u64 {
        self.figures.bytes.load(Ordering::SeqCst)
    }
}

async fn serve(
    listener: TcpListener,
    target: SocketAddr,
    link: watch::Receiver<Link>,
    figures: Arc<Figures>,
) {
    while let Ok((client, _)) = listener.accept().await {
        let (link, figures) = (link.clone(), Arc::clone(&figures));
        tokio::spawn(async move { connection(client, target, link, &figures).await });
    }
}

async fn connection(
    mut client: TcpStream,
    target: SocketAddr,
    mut link: watch::Receiver<Link>,
    figures: &Figures,
) {
    let is_cut = *link.borrow_and_update() == Link::Cut;
    let mut server = match is_cut {
        true => None,
        false => TcpStream::connect(target).await.ok(),
    };
    if let Some(server) = &mut server {
        figures.connections.fetch_add(1, Ordering::SeqCst);
        // The network has no opinion on when to send.
        let _ = (client.set_nodelay(true), server.set_nodelay(true));
        let (from_client, to_client) = client.split();
        let (from_server, to_server) = server.split();
        let mut cut = link.clone();
        let carried = async {
            tokio::join!(
                carry(from_client, to_server, link.clone(), figures),
                carry(from_server, to_client, link.clone(), figures),
            )
        };
        tokio::select! {
            _ = carried => return,
            _ = cut.wait_for(|link| *link == Link::Cut) => {}
        }
    }
    figures.resets.fetch_add(1, Ordering::SeqCst);
    for stream in [Some(&client), server.as_ref()].into_iter().flatten() {
        // One that is gone already needs no reset.
        let _ = stream.set_zero_linger();
    }
}

/// Carries what one side says to the other until it says no more.
async fn carry(
    mut from: ReadHalf<'_>,
    mut to: WriteHalf<'_>,
    link: watch::Receiver<Link>,
    figures: &Figures,
) {
    let (sender, mut pieces) = mpsc::channel::<(Instant, Vec<u8>)>(UNDER_WAY);
    let mut seen = link.clone();
    let reads = async move {
        let mut piece = vec![0; PIECE];
        while let Ok(count @ 1..) = from.read(&mut piece).await {
            let delay = match *seen.borrow_and_update() {
                Link::Open { delay, .. } => delay,
                Link::Cut | Link::Silent => Duration::ZERO,
            };
            let due = Instant::now() + delay;
            let Some(read) = piece.get(..count) else {
                return;
            };
            if sender.send((due, read.to_vec())).await.is_err() {
                return;
            }
        }
    };
    let mut seen = link;
    let writes = async move {
        while let Some((due, piece)) = pieces.recv().await {
            tokio::time::sleep_until(due).await;
            let open = |link: &Link| match link {
                Link::Open { bytes_a_second, .. } => Some(*bytes_a_second),
                Link::Cut | Link::Silent => None,
            };
            let Ok(bytes_a_second) = seen
                .wait_for(|link| open(link).is_some())
                .await
                .map(|link| open(&link).unwrap_or(u64::MAX))
            else {
                return;
            };
            if to.write_all(&piece).await.is_err() {
                return;
            }
            let count = piece.len() as u64;
            figures.bytes.fetch_add(count, Ordering::SeqCst);
            let micros = count.saturating_mul(1_000_000) / bytes_a_second.max(1);
            if micros > 0 {
                tokio::time::sleep(Duration::from_micros(micros)).await;
            }
        }
        let _ = to.shutdown().await;
    };
    tokio::join!(reads, writes);
}
