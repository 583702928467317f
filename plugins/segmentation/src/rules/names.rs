//! Names of segments, each kept once: rows hold numbers.

use std::collections::HashMap;
use std::sync::Arc;

/// Names, numbered in the order in which they were first met.
#[derive(Debug, Clone, Default)]
pub(super) struct Names {
    texts: Vec<Arc<str>>,
    numbers: HashMap<Arc<str>, usize>,
}

impl Names {
    /// The number of a name, which gets one if it has none.
    pub(super) fn number(&mut self, name: &str) -> usize {
        if let Some(number) = self.numbers.get(name) {
            return *number;
        }
        let text: Arc<str> = name.into();
        let number = self.texts.len();
        self.texts.push(Arc::clone(&text));
        self.numbers.insert(text, number);
        number
    }

    /// The name of a number; empty for one that was never given.
    pub(super) fn text(&self, number: usize) -> &str {
        self.texts.get(number).map_or("", AsRef::as_ref)
    }

    /// Adds its names to `others`, and gives the numbers that they have there.
    pub(super) fn merge_into(&self, others: &mut Self) -> Vec<usize> {
        self.texts.iter().map(|text| others.number(text)).collect()
    }

    /// How many there are.
    pub(super) fn len(&self) -> usize {
        self.texts.len()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_has_one_number() {
        let mut names = Names::default();
        assert_eq!(
            ["vip", "new", "vip"].map(|name| names.number(name)),
            [0, 1, 0]
        );
        assert_eq!((names.text(1), names.text(2), names.len()), ("new", "", 2));
    }
}
