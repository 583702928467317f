//! Arms, and sets of them that are eligible together.

/// An action's place in its policy. It stays the same when arms are added, and over saving and
/// loading; it means nothing to another policy.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Arm(pub(crate) usize);

impl Arm {
    /// The arm's number, from 0, in the order in which arms were added.
    #[must_use]
    pub const fn index(self) -> usize {
        self.0
    }
}

/// Actions that may be chosen in one decision: at least one, each once, in the caller's order.
///
/// Made by [`Policy::eligible`](crate::Policy::eligible) from names, once for all decisions with the
/// same actions.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Eligible(pub(crate) Vec<Arm>);

impl Eligible {
    /// The arms, in the order in which they were given.
    #[must_use]
    pub fn arms(&self) -> &[Arm] {
        &self.0
    }

    /// How many there are, at least 1.
    #[must_use]
    #[expect(clippy::len_without_is_empty, reason = "it is never empty")]
    pub const fn len(&self) -> usize {
        self.0.len()
    }

    /// Where an arm stands in the set.
    #[must_use]
    pub fn position(&self, arm: Arm) -> Option<usize> {
        self.0.iter().position(|other| *other == arm)
    }
}
