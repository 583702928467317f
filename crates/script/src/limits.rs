//! How much a script may use before it is stopped.

/// The budget of one evaluation: one `${{ … }}`, or one row of a rule.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Limits {
    /// Operations, about one per node of the syntax tree that is visited.
    pub operations: u64,
    /// Script functions that may be active at once.
    pub call_depth: usize,
    /// Bytes in a string.
    pub string_bytes: usize,
    /// Elements in an array, those of arrays inside it included.
    pub array_len: usize,
    /// Entries in a map, those of maps inside it included.
    pub map_len: usize,
    /// Levels of nesting in an expression. A chain of operators, as in `a + b + c`, nests too.
    pub expression_depth: usize,
    /// Bytes of source text. Bounds the work of the parser, which counts no operations.
    pub source_bytes: usize,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            operations: 1_000_000,
            call_depth: 24,
            string_bytes: 256 * 1024,
            array_len: 10_000,
            map_len: 10_000,
            expression_depth: 64,
            source_bytes: 256 * 1024,
        }
    }
}
