//! Where something stands in a trace, as W3C trace context says it, and span ids that follow from names.
//!
//! No span of a run is kept anywhere: its id follows from the run, the stage and the attempt, so that
//! whoever knows these, now or after a take-over, names the same span.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

use crate::RunId;

/// The target of `tracing` spans that are there for traces only: no line of a log is ever in one.
pub const SPAN_TARGET: &str = "marquetry_spans";

/// The name of the gRPC metadata, and of the variable in capitals, that carries a [`TraceContext`].
pub const TRACEPARENT: &str = "traceparent";

/// A span of a trace: what a `traceparent` says.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct TraceContext {
    trace: u128,
    span: u64,
    is_sampled: bool,
}

/// Why a text is no trace context.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error(
    "`{text}` is not a trace context such as `00-{}-{}-01`",
    "4bf92f3577b34da6a3ce929d0e0e4736",
    "00f067aa0ba902b7"
)]
pub struct InvalidTraceContext {
    /// The text as given.
    pub text: String,
}

impl TraceContext {
    /// The trace of a run that nobody traced before: its id is that of the run, as a number. Nothing
    /// stands above its spans.
    #[must_use]
    pub fn of_run(run: &RunId) -> Self {
        Self {
            trace: run.as_number().max(1),
            span: 0,
            is_sampled: true,
        }
    }

    /// The span of this name below this one. The same names give the same span.
    #[must_use]
    pub fn child(&self, name: &str) -> Self {
        // FNV-1a, and then the finalizer of SplitMix64, so that near names give far ids.
        let mut hash = 0xcbf2_9ce4_8422_2325_u64;
        let above = self.trace.to_be_bytes().into_iter();
        for byte in above.chain(self.span.to_be_bytes()).chain(name.bytes()) {
            hash = (hash ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3);
        }
        hash = (hash ^ (hash >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        hash = (hash ^ (hash >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        hash ^= hash >> 31;
        Self {
            // An id of zeros means none.
            span: hash.max(1),
            ..*self
        }
    }

    /// The trace's id: 32 hexadecimal digits.
    #[must_use]
    pub fn trace_id(&self) -> String {
        format!("{:032x}", self.trace)
    }

    /// The span's id, 16 hexadecimal digits. None above the spans of a run that nobody traced before.
    #[must_use]
    pub fn span_id(&self) -> Option<String> {
        (self.span != 0).then(|| format!("{:016x}", self.span))
    }

    /// The span's id, if the spans of this trace are to be exported.
    #[must_use]
    pub fn exported_id(&self) -> Option<String> {
        self.span_id().filter(|_| self.is_sampled)
    }
}

impl fmt::Display for TraceContext {
    /// As `traceparent` has it.
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let flags = u8::from(self.is_sampled);
        write!(
            formatter,
            "00-{:032x}-{:016x}-{flags:02x}",
            self.trace, self.span
        )
    }
}

impl FromStr for TraceContext {
    type Err = InvalidTraceContext;

    /// Reads a `traceparent`, of this version or a later one, as https://www.w3.org/TR/trace-context/ says.
    fn from_str(text: &str) -> Result<Self, Self::Err> {
        parse(text.trim()).ok_or_else(|| InvalidTraceContext {
            text: text.to_owned(),
        })
    }
}

fn parse(text: &str) -> Option<TraceContext> {
    let is_hex = |text: &str| {
        let digits = |byte: u8| byte.is_ascii_digit() || matches!(byte, b'a'..=b'f');
        text.bytes().all(digits)
    };
    let mut parts = text.split('-');
    let (version, trace, span, flags) =
        (parts.next()?, parts.next()?, parts.next()?, parts.next()?);
    let lengths = [version.len(), trace.len(), span.len(), flags.len()];
    if lengths != [2, 32, 16, 2] || ![version, trace, span, flags].into_iter().all(is_hex) {
        return None;
    }
    // What later versions add stands behind; this one ends here, and `ff` is none.
    if version == "ff" || (version == "00" && parts.next().is_some()) {
        return None;
    }
    let context = TraceContext {
        trace: u128::from_str_radix(trace, 16).ok()?,
        span: u64::from_str_radix(span, 16).ok()?,
        is_sampled: u8::from_str_radix(flags, 16).ok()? & 1 == 1,
    };
    (context.trace != 0 && context.span != 0).then_some(context)
}

impl TryFrom<String> for TraceContext {
    type Error = InvalidTraceContext;

    fn try_from(text: String) -> Result<Self, Self::Error> {
        text.parse()
    }
}

impl From<TraceContext> for String {
    fn from(context: TraceContext) -> Self {
        context.to_string()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Timestamp;

    const CALLER: &str = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01";

    #[test]
    fn a_traceparent_reads_back() {
        let context: TraceContext = CALLER.parse().unwrap_or(TraceContext::of_run(&run()));
        assert_eq!(context.to_string(), CALLER);
        assert_eq!(context.trace_id(), "4bf92f3577b34da6a3ce929d0e0e4736");
        assert_eq!(context.span_id().as_deref(), Some("00f067aa0ba902b7"));
        let unsampled = format!("{}00", CALLER.trim_end_matches("01")).parse::<TraceContext>();
        assert_eq!(unsampled.map(|it| it.exported_id()), Ok(None));
        let later = format!("cc{}-more", CALLER.trim_start_matches("00"));
        assert_eq!(later.parse(), Ok(context), "a later version");
    }

    #[test]
    fn what_is_no_traceparent_is_refused() {
        for bad in [
            "",
            "00",
            "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7",
            "00-4BF92F3577B34DA6A3CE929D0E0E4736-00f067aa0ba902b7-01",
            "00-00000000000000000000000000000000-00f067aa0ba902b7-01",
            "00-4bf92f3577b34da6a3ce929d0e0e4736-0000000000000000-01",
            "ff-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01",
            "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01-more",
            "00-4bf92f3577b34da6a3ce929d0e0e47+6-00f067aa0ba902b7-01",
        ] {
            assert!(bad.parse::<TraceContext>().is_err(), "{bad}");
        }
    }

    #[test]
    fn spans_follow_from_names() {
        let root = TraceContext::of_run(&run());
        assert_eq!(root.span_id(), None, "nothing stands above");
        assert_eq!(root.child("a"), root.child("a"));
        assert_ne!(root.child("a"), root.child("b"));
        assert_ne!(root.child("a").child("b"), root.child("b").child("a"));
        assert_eq!(root.child("a").trace_id(), root.trace_id());
    }

    fn run() -> RunId {
        RunId::new(Timestamp::from_millis(1_700_000_000_000), 7)
    }
}
