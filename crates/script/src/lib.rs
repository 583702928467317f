//! The rhai sandbox: one expression language for workflow files, segment rules and triggers.
//!
//! Everything that a team writes as code passes through here: `${{ … }}` in workflow files
//! ([`Expression`], [`Template`]), and rules over the rows of a dataset ([`RowScript`]). A script is
//! compiled once, shared, and evaluated under [`Limits`]; it reaches no file, network, clock, module
//! or console, so its result depends on its inputs alone and it cannot outlive its budget.
//!
//! What a null does, how integers and floats mix, and which values may be compared is decided in one
//! place, the `operators` module, for every way in which a script is evaluated.

mod builtins;
mod compiled;
mod error;
mod expression;
mod fast;
mod formula;
mod functions;
mod limits;
mod operators;
mod room;
mod rows;
mod sandbox;
mod suggest;
mod syntax;
mod template;
mod value;

pub use error::{ScriptError, ScriptErrorKind};
pub use expression::{Expression, Reference, StatusFlags};
pub use formula::{Constant, Formula};
pub use limits::Limits;
pub use operators::Binary as Operator;
pub use room::with_room;
pub use rows::{Cell, Columns, RowError, RowEvaluator, RowScript};
pub use sandbox::Sandbox;
pub use suggest::{listed, nearest};
pub use template::{Piece, Template};
