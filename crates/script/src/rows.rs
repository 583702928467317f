//! Scripts over the rows of a dataset: rules written as expressions over columns, and scripts with a
//! function `segment(row)`.
//!
//! A rule is compiled once for the columns of its input and evaluated for batches of rows, reading
//! only the cells that it names. Null in a rule's result is no match.

use std::sync::Arc;

use rhai::{AST, CallFnOptions, Dynamic, ImmutableString, Map, Position, Scope};
use serde_json::Value;

use crate::compiled::Compiled;
use crate::fast::{self, ColumnNames, Node, Row};
use crate::formula::{Formula, formula_of};
use crate::room::with_room_for;
use crate::sandbox::Language;
use crate::suggest::{listed, nearest};
use crate::syntax;
use crate::{Sandbox, ScriptError, ScriptErrorKind, value};

/// A value of a row.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Cell<'a> {
    /// No value.
    Null,
    /// True or false.
    Bool(bool),
    /// An integer.
    Int(i64),
    /// A floating-point number.
    Float(f64),
    /// Text.
    Text(&'a str),
}

impl Cell<'_> {
    fn to_dynamic(self) -> Dynamic {
        match self {
            Self::Null => Dynamic::UNIT,
            Self::Bool(flag) => Dynamic::from_bool(flag),
            Self::Int(integer) => Dynamic::from_int(integer),
            Self::Float(float) => Dynamic::from_float(float),
            Self::Text(text) => Dynamic::from(ImmutableString::from(text)),
        }
    }
}

/// A batch of rows, by column: what a record batch looks like to a script.
pub trait Columns {
    /// How many rows there are.
    fn rows(&self) -> usize;
    /// The value at a row of a column; columns are numbered as they were named at compilation.
    fn cell(&self, column: usize, row: usize) -> Cell<'_>;
}

/// A script that failed at a row.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RowError {
    /// The row within the batch, counted from 0.
    pub row: usize,
    /// What failed.
    pub error: ScriptError,
}

/// A script over rows, compiled for the columns of its input. Cheap to clone.
#[derive(Debug, Clone)]
pub struct RowScript {
    sandbox: Sandbox,
    program: Arc<Program>,
    /// The columns that are read: their numbers in the input and their names.
    reads: Arc<[(usize, String)]>,
    /// Where what gives the value begins: the expression, or the body of the function.
    start: Position,
}

#[derive(Debug)]
enum Program {
    /// An expression that is evaluated directly.
    Direct(Node),
    /// An expression that rhai evaluates, its columns being variables.
    Expression(AST),
    /// A script whose `segment` is called with a map of the row, unless it is compiled and the
    /// compiled way can say.
    Function(AST, Option<Compiled>),
}

/// The function that a row script defines.
const ENTRY: &str = "segment";

impl RowScript {
    /// An expression over columns, such as `monetary > 1000 && recency_days < 30`.
    ///
    /// # Errors
    /// It does not parse, calls an unknown function, or names a column that is not there.
    pub fn expression(source: &str, columns: &[&str]) -> Result<Self, ScriptError> {
        Self::expression_in(Sandbox::shared(), source, columns)
    }

    /// As [`RowScript::expression`], in a sandbox with limits of its own.
    ///
    /// # Errors
    /// As [`RowScript::expression`].
    pub fn expression_in(
        sandbox: &Sandbox,
        source: &str,
        columns: &[&str],
    ) -> Result<Self, ScriptError> {
        let mut root = parse_expression(sandbox, source)?;
        let findings = syntax::survey(&root)?;
        syntax::check_calls(&findings, false)?;
        let mut reads: Vec<(usize, String)> = Vec::new();
        for path in &findings.paths {
            let Some(name) = path.names.first() else {
                continue;
            };
            if reads.iter().any(|(_, known)| known == name) {
                continue;
            }
            match columns.iter().position(|column| column == name) {
                Some(index) => reads.push((index, name.clone())),
                None => return Err(unknown_column(name, columns).at(path.position)),
            }
        }
        let start = syntax::first_character(source);
        syntax::adjust(&mut root);
        let place = |name: &str| reads.iter().position(|(_, read)| read == name);
        let program = match fast::translate(&root, &mut ColumnNames(place)) {
            Some(node) => Program::Direct(node),
            None => Program::Expression(syntax::ast_of(root)),
        };
        Ok(Self {
            sandbox: sandbox.clone(),
            program: Arc::new(program),
            reads: reads.into(),
            start,
        })
    }

    /// Checks the syntax of an expression whose columns are not known yet.
    ///
    /// # Errors
    /// It does not parse, or calls an unknown function.
    pub fn check_expression(source: &str) -> Result<(), ScriptError> {
        let root = parse_expression(Sandbox::shared(), source)?;
        syntax::check_calls(&syntax::survey(&root)?, false)
    }

    /// A script that defines `fn segment(row)`, where `row.NAME` is the value of a column.
    ///
    /// # Errors
    /// It does not parse, or has no function `segment` with one parameter.
    pub fn script(source: &str, columns: &[&str]) -> Result<Self, ScriptError> {
        Self::script_in(Sandbox::shared(), source, columns)
    }

    /// As [`RowScript::script`], in a sandbox with limits of its own.
    ///
    /// # Errors
    /// As [`RowScript::script`].
    pub fn script_in(
        sandbox: &Sandbox,
        source: &str,
        columns: &[&str],
    ) -> Result<Self, ScriptError> {
        let ast = sandbox.compile(Language::Script, source, |engine| engine.compile(source))?;
        let counts = || {
            let entries = ast.iter_fn_def().filter(|function| function.name == ENTRY);
            entries.map(|function| function.params.len())
        };
        // rhai tells functions of one name apart by the number of their parameters.
        match counts()
            .find(|count| *count == 1)
            .or_else(|| counts().min())
        {
            Some(1) => {}
            Some(count) => {
                let message = format!("`fn {ENTRY}` has {count} parameters");
                return Err(ScriptError::new(ScriptErrorKind::Syntax, message)
                    .help(format!("give it one, the row: `fn {ENTRY}(row) {{ … }}`")));
            }
            None => {
                let message = format!("the script has no function `{ENTRY}`");
                return Err(
                    ScriptError::new(ScriptErrorKind::Syntax, message).help(format!(
                        "define `fn {ENTRY}(row) {{ … }}`, which gives the segment"
                    )),
                );
            }
        }
        syntax::check_script(&ast)?;
        let mut functions = ast.iter_fn_def();
        let entry = functions.find(|function| function.name == ENTRY && function.params.len() == 1);
        let start = entry.map_or(Position::NONE, |entry| entry.body.start_position());
        let reads = columns
            .iter()
            .enumerate()
            .map(|(index, name)| (index, (*name).to_owned()))
            .collect();
        // Only its functions: statements outside would run for every row.
        let compiled = Compiled::new(&ast, ENTRY, columns);
        let program = Program::Function(ast.clone_functions_only(), compiled);
        Ok(Self {
            sandbox: sandbox.clone(),
            program: Arc::new(program),
            reads,
            start,
        })
    }

    /// The numbers of the columns that it reads; of a script of which that is not known, all.
    pub fn columns(&self) -> impl Iterator<Item = usize> {
        let of_script = match &*self.program {
            Program::Function(_, Some(compiled)) => Some(compiled.reads.as_slice()),
            _ => None,
        };
        let all = of_script.is_none().then_some(&*self.reads);
        let all = all.into_iter().flatten().map(|(index, _)| *index);
        of_script.into_iter().flatten().copied().chain(all)
    }

    /// A rule as a tree, for who evaluates many rows at a time; none where it is more than operators
    /// over columns and constants.
    #[must_use]
    pub fn formula(&self) -> Option<Formula> {
        match &*self.program {
            Program::Direct(node) => formula_of(node, &self.reads),
            Program::Expression(_) | Program::Function(..) => None,
        }
    }

    /// Whether it is evaluated without the interpreter, but for rows that fail.
    #[must_use]
    pub fn is_compiled(&self) -> bool {
        matches!(
            &*self.program,
            Program::Direct(_) | Program::Function(_, Some(_))
        )
    }

    /// The same script without its compiled form: what the interpreter alone says, for tests that
    /// hold the two ways together.
    #[must_use]
    pub fn interpreted(&self) -> Self {
        let program = match &*self.program {
            Program::Function(ast, _) => Arc::new(Program::Function(ast.clone(), None)),
            _ => Arc::clone(&self.program),
        };
        Self {
            program,
            ..self.clone()
        }
    }

    /// An error of a caller that cannot take the script's value, at the beginning of what gives it.
    #[must_use]
    pub fn value_error(&self, message: impl Into<String>, help: impl Into<String>) -> ScriptError {
        ScriptError::new(ScriptErrorKind::Type, message)
            .help(help)
            .at(self.start)
    }

    /// Does work with room for the values that the script nests; a direct evaluation makes none.
    fn with_room<Done>(&self, work: impl FnOnce() -> Done) -> Done {
        match &*self.program {
            Program::Direct(_) => work(),
            Program::Expression(_) | Program::Function(..) => {
                with_room_for(self.sandbox.limits(), work)
            }
        }
    }

    /// An evaluator, which holds what can be used again from row to row.
    #[must_use]
    pub fn evaluator(&self) -> RowEvaluator<'_> {
        RowEvaluator {
            script: self,
            cells: Vec::with_capacity(self.reads.len()),
            scope: Scope::new(),
        }
    }

    /// Its value for every row of a batch.
    ///
    /// # Errors
    /// The first row at which it fails.
    pub fn evaluate_batch(&self, batch: &dyn Columns) -> Result<Vec<Value>, RowError> {
        self.with_room(|| {
            let mut evaluator = self.evaluator();
            (0..batch.rows())
                .map(|row| {
                    evaluator
                        .value(batch, row)
                        .map_err(|error| RowError { row, error })
                })
                .collect()
        })
    }

    /// Whether it holds for every row of a batch; null is no match.
    ///
    /// # Errors
    /// The first row at which it fails, or gives neither true, false nor null.
    pub fn matches_batch(&self, batch: &dyn Columns) -> Result<Vec<bool>, RowError> {
        self.with_room(|| {
            let mut evaluator = self.evaluator();
            (0..batch.rows())
                .map(|row| {
                    evaluator
                        .is_match(batch, row)
                        .map_err(|error| RowError { row, error })
                })
                .collect()
        })
    }
}

/// Evaluates a [`RowScript`] row by row, using its space again.
#[derive(Debug)]
pub struct RowEvaluator<'a> {
    script: &'a RowScript,
    cells: Vec<Dynamic>,
    scope: Scope<'static>,
}

impl RowEvaluator<'_> {
    /// The script's value for a row.
    ///
    /// # Errors
    /// The script fails.
    pub fn value(&mut self, batch: &dyn Columns, row: usize) -> Result<Value, ScriptError> {
        let script = self.script;
        script.with_room(|| {
            value::to_json(&self.run(batch, row)?).map_err(|error| error.at(script.start))
        })
    }

    /// Whether the script holds for a row; null is no match.
    ///
    /// # Errors
    /// The script fails, or gives neither true, false nor null.
    pub fn is_match(&mut self, batch: &dyn Columns, row: usize) -> Result<bool, ScriptError> {
        let script = self.script;
        script.with_room(|| {
            fast::is_match(&self.run(batch, row)?).map_err(|error| error.at(script.start))
        })
    }

    fn run(&mut self, batch: &dyn Columns, row: usize) -> Result<Dynamic, ScriptError> {
        let reads = &self.script.reads;
        match &*self.script.program {
            Program::Direct(node) => {
                self.cells.clear();
                self.cells.extend(
                    reads
                        .iter()
                        .map(|(column, _)| batch.cell(*column, row).to_dynamic()),
                );
                node.evaluate(&Row {
                    cells: &self.cells,
                    limits: self.script.sandbox.limits(),
                    locals: &[],
                    work: None,
                })
            }
            Program::Expression(ast) => {
                self.scope.clear();
                for (column, name) in reads.iter() {
                    self.scope
                        .push_dynamic(name.as_str(), batch.cell(*column, row).to_dynamic());
                }
                let scope = &mut self.scope;
                self.script
                    .sandbox
                    .evaluate(Language::Expression, |engine| {
                        engine.eval_ast_with_scope::<Dynamic>(scope, ast)
                    })
                    .map_err(|error| error.at(self.script.start))
            }
            Program::Function(ast, compiled) => {
                if let Some(compiled) = compiled {
                    let read = |column: &usize| batch.cell(*column, row).to_dynamic();
                    self.cells.clear();
                    self.cells.extend(compiled.reads.iter().map(|place| {
                        let column = reads.get(*place).map_or(*place, |(column, _)| *column);
                        read(&column)
                    }));
                    let limits = self.script.sandbox.limits();
                    if let Some(value) = compiled.evaluate(&self.cells, limits) {
                        return Ok(value);
                    }
                }
                let fields: Map = reads
                    .iter()
                    .map(|(column, name)| {
                        (name.as_str().into(), batch.cell(*column, row).to_dynamic())
                    })
                    .collect();
                self.scope.clear();
                let scope = &mut self.scope;
                let options = CallFnOptions::new().eval_ast(false);
                self.script
                    .sandbox
                    .evaluate(Language::Script, |engine| {
                        engine.call_fn_with_options(options, scope, ast, ENTRY, (fields,))
                    })
                    .map_err(|error| self.suggest_column(error))
                    // rhai does not always say where a limit was exceeded.
                    .map_err(|error| error.at(self.script.start))
            }
        }
    }

    fn suggest_column(&self, error: ScriptError) -> ScriptError {
        if error.help.is_some() {
            return error;
        }
        if error.message.starts_with("there is no variable `") {
            return error.help("a function sees its parameters and what it declares itself");
        }
        let missing = error
            .message
            .strip_prefix("there is no `")
            .and_then(|rest| rest.split_once('`'))
            .map(|(name, _)| name);
        let names = || self.script.reads.iter().map(|(_, name)| name.as_str());
        match missing.map(|name| nearest(name, names())) {
            Some(Some(other)) => error.help(format!("did you mean `{other}`?")),
            Some(None) => {
                let names: Vec<&str> = names().collect();
                error.help(format!("a row has {}", listed(&names)))
            }
            None => error,
        }
    }
}

fn parse_expression(sandbox: &Sandbox, source: &str) -> Result<rhai::Expr, ScriptError> {
    if source.trim().is_empty() {
        return Err(ScriptError::new(
            ScriptErrorKind::Syntax,
            "the expression is empty",
        ));
    }
    let ast = sandbox.compile(Language::Expression, source, |engine| {
        engine.compile_expression(source)
    })?;
    syntax::root(&ast).ok_or_else(|| {
        ScriptError::new(ScriptErrorKind::Syntax, "it is no expression with a value")
    })
}

fn unknown_column(name: &str, columns: &[&str]) -> ScriptError {
    let error = ScriptError::new(
        ScriptErrorKind::Syntax,
        format!("there is no column `{name}`"),
    );
    match nearest(name, columns.iter().copied()) {
        Some(other) => error.help(format!("did you mean `{other}`?")),
        None => error.help(format!("the columns are {}", listed(columns))),
    }
}
