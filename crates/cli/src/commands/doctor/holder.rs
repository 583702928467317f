//! Which process has a port, as far as the system tells this user.

use std::fmt;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};

/// A process that listens.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Holder {
    id: u32,
    /// Its name, as the system shortens it.
    name: String,
    program: Option<PathBuf>,
}

impl fmt::Display for Holder {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "process {}, {}", self.id, self.name)
    }
}

impl Holder {
    /// Who listens on a port of this machine. None where that is nobody, a process of another user's, or
    /// the system is not Linux.
    pub(super) fn of(address: SocketAddr) -> Option<Self> {
        let sockets: Vec<String> = ["/proc/net/tcp", "/proc/net/tcp6"]
            .iter()
            .filter_map(|table| std::fs::read_to_string(table).ok())
            .flat_map(|table| listeners(&table, address.port()))
            .collect();
        let processes = std::fs::read_dir("/proc").ok()?;
        processes.flatten().find_map(|process| {
            let id = process.file_name().to_str()?.parse().ok()?;
            let holds = has_any(&process.path(), &sockets);
            holds.then(|| Self {
                id,
                name: std::fs::read_to_string(process.path().join("comm"))
                    .map_or_else(|_| "unnamed".to_owned(), |name| name.trim().to_owned()),
                program: std::fs::read_link(process.path().join("exe")).ok(),
            })
        })
    }

    pub(super) fn is_this_process(&self) -> bool {
        self.id == std::process::id()
    }

    /// Whether it is this program, of any version: one that was replaced since it started, too.
    pub(super) fn is_this_program(&self) -> bool {
        let own = std::env::current_exe().ok();
        let own = own.as_deref().and_then(Path::file_name);
        let theirs = self.program.as_deref().and_then(Path::file_name);
        match (own, theirs) {
            (Some(own), Some(theirs)) => {
                let theirs = theirs.to_string_lossy();
                theirs.trim_end_matches(" (deleted)") == own.to_string_lossy()
            }
            _ => false,
        }
    }
}

/// The sockets that listen on a port, by what `/proc/PID/fd` calls them, in a table of `/proc/net`.
fn listeners(table: &str, port: u16) -> Vec<String> {
    /// How the kernel writes that a socket listens.
    const LISTENS: &str = "0A";
    let of_line = |line: &str| {
        let mut fields = line.split_whitespace().skip(1);
        let (local, _, state) = (fields.next()?, fields.next()?, fields.next()?);
        let (_, hex) = local.rsplit_once(':')?;
        let found = u16::from_str_radix(hex, 16).ok()?;
        // Queues, timer, retransmissions, user and timeout stand between state and inode.
        let inode = fields.nth(5)?;
        (found == port && state == LISTENS).then(|| format!("socket:[{inode}]"))
    };
    table.lines().filter_map(of_line).collect()
}

fn has_any(process: &Path, sockets: &[String]) -> bool {
    let Ok(files) = std::fs::read_dir(process.join("fd")) else {
        return false;
    };
    files.flatten().any(|file| {
        let target = std::fs::read_link(file.path());
        target.is_ok_and(|target| {
            sockets
                .iter()
                .any(|socket| target.as_os_str() == socket.as_str())
        })
    })
}

#[cfg(test)]
mod tests {
    #![expect(clippy::unwrap_used, reason = "tests")]

    use super::*;

    const TABLE: &str = "  sl  local_address rem_address   st tx_queue rx_queue tr tm->when retrnsmt   uid  timeout inode
   0: 0100007F:1B9E 00000000:0000 0A 00000000:00000000 00:00000000 00000000     0        0 4711 1 0000 100 0 0 10 0
   1: 0100007F:1B9E 0100007F:9999 01 00000000:00000000 00:00000000 00000000     0        0 4712 1 0000 100 0 0 10 0
   2: 0100007F:1B9F 00000000:0000 0A 00000000:00000000 00:00000000 00000000     0        0 4713 1 0000 100 0 0 10 0";

    #[test]
    fn sockets_that_listen_are_found_by_their_port() {
        assert_eq!(listeners(TABLE, 7070), ["socket:[4711]"]);
        assert!(listeners(TABLE, 7072).is_empty());
        assert!(listeners("nonsense\n1: 2 3", 7070).is_empty());
    }

    #[cfg(target_os = "linux")]
    #[test]
    fn a_port_of_ours_is_ours() {
        let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
        let holder = Holder::of(listener.local_addr().unwrap()).unwrap();
        assert!(holder.is_this_process());
        assert!(holder.is_this_program());
    }
}
