//! The network between these tests' coordinators and whoever dials them: it can be cut, and plugged into
//! another coordinator.

use std::sync::{Arc, Mutex};

use marquetry_coordinator::{InProcess, in_process};
use marquetry_proto::v1::run_service_client::RunServiceClient;
use tokio::io::{DuplexStream, copy_bidirectional, duplex};
use tokio::sync::mpsc;
use tokio::task::JoinSet;
use tokio_stream::StreamExt;
use tonic::transport::Channel;

use crate::house::Server;

const PIPE_BYTES: usize = 64 * 1024;

/// A number that can be dialled. Nobody answers until it is plugged in.
pub(crate) struct Exchange {
    dial: InProcess,
    plugged: Arc<Mutex<Plugged>>,
}

#[derive(Default)]
struct Plugged {
    into: Option<mpsc::UnboundedSender<DuplexStream>>,
    wires: JoinSet<()>,
}

impl Exchange {
    pub(crate) fn new() -> Self {
        let (dial, incoming) = in_process();
        let plugged = Arc::new(Mutex::new(Plugged::default()));
        let shared = Arc::clone(&plugged);
        tokio::spawn(async move {
            let mut incoming = std::pin::pin!(incoming);
            while let Some(Ok(mut caller)) = incoming.next().await {
                let mut plugged = shared.lock().unwrap();
                let (mut near, far) = duplex(PIPE_BYTES);
                if let Some(into) = &plugged.into
                    && into.send(far).is_ok()
                {
                    plugged.wires.spawn(async move {
                        // Either end may go away.
                        drop(copy_bidirectional(&mut caller, &mut near).await);
                    });
                }
            }
        });
        Self { dial, plugged }
    }

    /// From here on this coordinator answers. Calls under way stay with whom they are.
    pub(crate) fn plug_into(&self, server: &Server) {
        self.plugged.lock().unwrap().into = Some(server.pipes());
    }

    /// Breaks every connection, and nobody answers.
    pub(crate) fn cut(&self) {
        *self.plugged.lock().unwrap() = Plugged::default();
    }

    pub(crate) fn channel(&self) -> Channel {
        self.dial.channel()
    }

    pub(crate) fn client(&self) -> RunServiceClient<Channel> {
        RunServiceClient::new(self.channel()).max_encoding_message_size(64 * 1024 * 1024)
    }
}
