//! What is wrong, told with the file that it is wrong in.

/// A list of complaints.
#[derive(Debug, Default)]
pub(crate) struct Findings(Vec<String>);

impl Findings {
    /// Adds one.
    pub(crate) fn add(&mut self, file: &str, message: impl AsRef<str>) {
        let line = format!("{file}: {}", message.as_ref());
        if !self.0.contains(&line) {
            self.0.push(line);
        }
    }

    /// Adds one unless something holds.
    pub(crate) fn expect(&mut self, holds: bool, file: &str, message: impl FnOnce() -> String) {
        if !holds {
            self.add(file, message());
        }
    }

    /// All of them.
    pub(crate) fn into_lines(self) -> Vec<String> {
        self.0
    }
}
