//! Stack for values that a script nests.
//!
//! A list may hold a list that holds a list, as deep as the limit on elements goes, and whatever walks
//! over it (a copy, a comparison, its end) calls itself for every level. The two MiB of an ordinary
//! thread end before that limit does, and a stack that ends takes the process with it, so scripts run
//! where there is room.

use crate::Limits;

/// Bytes that a level of nesting takes at most, measured where nothing is optimised.
const LEVEL: usize = 2 * 1024;

/// Bytes for everything else: the interpreter itself, within its own limits on depth.
const BASE: usize = 8 * 1024 * 1024;

/// Does work that evaluates scripts with room for what they may nest.
///
/// Evaluating looks for room by itself, and gets a stack of its own where there is none: some
/// microseconds each time. Who evaluates many rows gets one for all of them by this. The room is that
/// of the default limits.
pub fn with_room<Done>(work: impl FnOnce() -> Done) -> Done {
    with_room_for(&Limits::default(), work)
}

/// As [`with_room`], for other limits.
pub(crate) fn with_room_for<Done>(limits: &Limits, work: impl FnOnce() -> Done) -> Done {
    // Lists and maps are counted apart, and may nest in turn.
    let levels = limits.array_len.saturating_add(limits.map_len);
    let needed = levels.saturating_mul(LEVEL).saturating_add(BASE);
    // More than is needed, so that an evaluation within finds enough.
    stacker::maybe_grow(needed, needed.saturating_add(BASE), work)
}
