//! One process of the program as a file starts it, whatever kind of file that is, and what must hold for it.

use std::collections::{BTreeMap, BTreeSet};

use crate::findings::Findings;
use crate::program::{Call, Program};

/// What stands for a value that is not in the file.
pub(crate) const SECRET: &str = "(secret)";

/// A process.
#[derive(Debug, Default)]
pub(crate) struct Process {
    pub(crate) file: String,
    pub(crate) name: String,
    /// Without the program's name.
    pub(crate) command: Vec<String>,
    /// Commands that are run beside it, in its environment, with the program's name.
    pub(crate) probes: Vec<Vec<String>>,
    pub(crate) variables: BTreeMap<String, String>,
    /// Files that are there for it.
    pub(crate) files: BTreeSet<String>,
    /// Seconds from SIGTERM to SIGKILL.
    pub(crate) grace: Option<u64>,
    /// MiB that it may take with all of its children.
    pub(crate) memory: Option<u64>,
}

/// A server, as others must name it.
#[derive(Debug, Clone)]
pub(crate) struct Seat {
    pub(crate) url: Option<String>,
    pub(crate) port: Option<u16>,
    pub(crate) lake: Option<String>,
}

impl Process {
    fn say(&self, findings: &mut Findings, message: &str) {
        findings.add(&self.file, format!("{}: {message}", self.name));
    }

    /// Checks it by itself; returns what it is to others if it is a server.
    pub(crate) fn check(&self, program: &Program, findings: &mut Findings) -> Option<Seat> {
        let call = match program.call(&self.command) {
            Ok(call) => call,
            Err(message) => {
                self.say(findings, &message);
                return None;
            }
        };
        for name in self.variables.keys() {
            if name.starts_with("MARQUETRY_") && !call.help.knows(name) {
                let message = format!("`marquetry {}` knows no {name}", call.command);
                self.say(findings, &message);
            }
        }
        self.check_files(&call, findings);
        for probe in &self.probes {
            let (program_name, words) = match probe.split_first() {
                Some((first, words)) => (first.as_str(), words),
                None => ("", [].as_slice()),
            };
            if program_name != "marquetry" {
                self.say(
                    findings,
                    &format!("its probe runs `{program_name}`, which the image has not"),
                );
            } else if let Err(message) = program.call(words) {
                self.say(findings, &message);
            }
        }
        match call.command.as_str() {
            "server" => Some(self.check_server(&call, findings)),
            "worker" => {
                self.check_worker(&call, findings);
                None
            }
            _ => None,
        }
    }

    /// Every flag whose value is a file names one that is there.
    fn check_files(&self, call: &Call, findings: &mut Findings) {
        for (name, flag) in call.help.flags() {
            if flag.value.as_deref() != Some("FILE") {
                continue;
            }
            if let Some(path) = call.setting(name, &self.variables)
                && !self.files.contains(&path)
            {
                self.say(findings, &format!("`{path}` is not mounted"));
            }
        }
    }

    fn check_server(&self, call: &Call, findings: &mut Findings) -> Seat {
        let setting = |flag| call.setting(flag, &self.variables);
        let listen = setting("--listen").unwrap_or_default();
        let port = port_of(&listen);
        let url = setting("--url");
        if let Some(url) = &url {
            let (named, own) = (port_of(url), port);
            if named != own {
                let message = format!(
                    "its URL says {}, and it listens on {}",
                    shown(named),
                    shown(own)
                );
                self.say(findings, &message);
            }
            if !self.probes.is_empty() && setting("--coordinator").as_ref() != Some(url) {
                self.say(findings, "its probe asks another server");
            }
        }
        if !listen.starts_with("127.") {
            for (flag, variable) in [
                ("--certificate", "MARQUETRY_CERTIFICATE"),
                ("--key", "MARQUETRY_KEY"),
                ("--tokens", "MARQUETRY_TOKENS"),
            ] {
                if setting(flag).is_none() {
                    let message = format!("it can be reached from elsewhere without {variable}");
                    self.say(findings, &message);
                }
            }
        }
        Seat {
            url,
            port,
            lake: setting("--lake"),
        }
    }

    fn check_worker(&self, call: &Call, findings: &mut Findings) {
        let number = |flag| -> u64 {
            let setting = call.setting(flag, &self.variables);
            setting.and_then(|it| it.parse().ok()).unwrap_or_default()
        };
        let drain = number("--drain-timeout");
        match self.grace {
            Some(grace) if grace > drain => {}
            Some(grace) => {
                let message = format!("it is given {grace} s to stop, and drains for {drain} s");
                self.say(findings, &message);
            }
            None => self.say(findings, "it is not said how long it may take to stop"),
        }
        // `worker/hosts/memory.rs`: a host is killed beyond the stage's memory, a quarter and 256 MiB more, and so is
        // a data plane.
        let most = |flag| number(flag) + number(flag) / 4 + 256;
        let children = number("--slots") * most("--stage-memory") + most("--data-plane-memory");
        if let Some(limit) = self.memory
            && limit <= children
        {
            let message = format!(
                "its stages and its data plane may take {children} MiB, and it gets {limit} MiB"
            );
            self.say(findings, &message);
        }
        self.check_data_plane(call, findings);
    }

    /// It shares large queries with the others, who reach it and nobody else does.
    fn check_data_plane(&self, call: &Call, findings: &mut Findings) {
        let setting = |flag| call.setting(flag, &self.variables);
        let Some(listen) = setting("--data-plane") else {
            self.say(findings, "it shares no queries: it has no --data-plane");
            return;
        };
        let url = setting("--data-plane-url").unwrap_or_default();
        let (named, own) = (port_of(&url), port_of(&listen));
        if named != own {
            let message = format!(
                "its data plane's URL says {}, and it listens on {}",
                shown(named),
                shown(own)
            );
            self.say(findings, &message);
        }
        for (flag, variable) in [
            (
                "--data-plane-certificate",
                "MARQUETRY_DATA_PLANE_CERTIFICATE",
            ),
            ("--data-plane-key", "MARQUETRY_DATA_PLANE_KEY"),
        ] {
            if setting(flag).is_none() {
                let message = format!("its data plane can be reached without {variable}");
                self.say(findings, &message);
            }
        }
        if !url.starts_with("https://") {
            self.say(findings, "its data plane's URL is not of https");
        }
    }

    /// The port at which a worker takes parts of queries.
    pub(crate) fn data_plane_port(&self, program: &Program) -> Option<u16> {
        let call = program.call(&self.command).ok()?;
        port_of(&call.setting("--data-plane", &self.variables)?)
    }

    /// Compares the coordinators that it names with those that there are; `all` if the file has them all.
    pub(crate) fn check_coordinators(&self, seats: &[Seat], all: bool, findings: &mut Findings) {
        let Some(named) = self.variables.get("MARQUETRY_COORDINATOR") else {
            return;
        };
        let lake = self.variables.get("MARQUETRY_LAKE");
        if seats.iter().any(|seat| seat.lake.as_ref() != lake) {
            // A worker is refused that calls the lake otherwise.
            self.say(findings, "its lake is not the servers'");
        }
        for url in named.split(',').map(str::trim) {
            let is_one = seats.iter().any(|seat| seat.url.as_deref() == Some(url));
            if all && !is_one {
                self.say(findings, &format!("`{url}` is no server's URL"));
            }
            let port = port_of(url);
            if !seats.iter().any(|seat| seat.port == port) {
                self.say(findings, &format!("no server listens on {}", shown(port)));
            }
        }
    }
}

/// A port for people.
pub(crate) fn shown(port: Option<u16>) -> String {
    port.map_or_else(|| "no port".to_owned(), |port| port.to_string())
}

/// The port at the end of an address or of a URL's authority.
pub(crate) fn port_of(address: &str) -> Option<u16> {
    let authority = address.split_once("://").map_or(address, |(_, rest)| rest);
    let authority = authority.split('/').next()?;
    authority.rsplit_once(':')?.1.parse().ok()
}

/// Seconds, as in `630`, `30s` or `11m`.
pub(crate) fn seconds(text: &str) -> Option<u64> {
    let (number, unit) = match text.find(|c: char| !c.is_ascii_digit()) {
        Some(end) => text.split_at(end),
        None => (text, "s"),
    };
    let number: u64 = number.parse().ok()?;
    match unit {
        "s" => Some(number),
        "m" | "min" => Some(number * 60),
        _ => None,
    }
}

/// MiB, as in `512Mi` or `6G`, which systemd counts by 1024 too.
pub(crate) fn mebibytes(text: &str) -> Option<u64> {
    let (number, unit) = text.split_at(text.find(|c: char| !c.is_ascii_digit())?);
    let number: u64 = number.parse().ok()?;
    match unit {
        "Mi" | "M" => Some(number),
        "Gi" | "G" => Some(number * 1024),
        _ => None,
    }
}

/// Whether an image is named with a version, and not with a word or a number that moves on.
pub(crate) fn is_pinned(image: &str) -> bool {
    let Some((_, tag)) = image.rsplit_once(':') else {
        return false;
    };
    let number = tag.strip_prefix('v').unwrap_or(tag);
    let number = number.split('-').next().unwrap_or_default();
    number.contains('.') && number.split('.').all(|part| part.parse::<u32>().is_ok())
}
