//! Rules over batches in memory, without a stage around them.

use arrow::array::{ArrayRef, RecordBatch};
use arrow::datatypes::Schema;
use marquetry_plugin::StageError;
use marquetry_script::with_room;

use super::options::Matching;
use super::program::{Program, Watch};

/// What the stage `segmentation/rules` does to a batch: rules, or a script, compiled for the columns
/// of a table. The first rule that holds counts.
#[derive(Debug)]
pub struct RuleSet {
    program: Program,
}

impl RuleSet {
    /// Rules by name and condition, in order of precedence; who fits none is in `otherwise`.
    ///
    /// # Errors
    /// A condition does not parse, or names what is not there.
    pub fn new(
        rules: &[(&str, &str)],
        otherwise: &str,
        schema: &Schema,
    ) -> Result<Self, StageError> {
        let rules = rules.iter().copied();
        let program = Program::of_rules(rules, Matching::First, otherwise.to_owned(), schema)?;
        Ok(Self { program })
    }

    /// A script with `fn segment(row)`; `file` is its name in messages.
    ///
    /// # Errors
    /// It does not parse, or has no such function.
    pub fn script(
        file: &str,
        text: &str,
        otherwise: &str,
        schema: &Schema,
    ) -> Result<Self, StageError> {
        let otherwise = otherwise.to_owned();
        let program = Program::of_script(file, text, Matching::First, otherwise, schema)?;
        Ok(Self { program })
    }

    /// The names of the rules that run as expressions over whole columns, and of the others.
    #[must_use]
    pub fn ways(&self) -> (Vec<&str>, Vec<&str>) {
        self.program.ways()
    }

    /// The segment of every row of a batch, as a column of texts.
    ///
    /// # Errors
    /// A rule fails for a row: which rule, where in it, and which row.
    pub fn segments(&self, batch: &RecordBatch) -> Result<ArrayRef, StageError> {
        let mut names = self.program.names.clone();
        let found = with_room(|| self.program.evaluate(batch, &mut names, &Rows))?;
        names.column(&found.names)
    }
}

/// Rows that have no key are named by their numbers.
struct Rows;

impl Watch for Rows {
    fn check_cancelled(&self) -> Result<(), StageError> {
        Ok(())
    }

    fn shown(&self, row: usize) -> String {
        format!("row {row}")
    }
}
