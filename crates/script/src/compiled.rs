//! Scripts with `fn segment(row)`, compiled for speed.
//!
//! rhai makes a map of every row and looks each operator and function up anew, which costs
//! microseconds. A script of `let`, assignments, `if`, `return`, calls of its own functions and the
//! expressions of [`fast`](crate::fast) is compiled here to a tree whose variables are numbered. What
//! else a script holds (loops, lists, `switch`, functions that change their argument) is left to rhai
//! as a whole.
//!
//! The compiled way only ever gives values. Where it meets an error, a type that it does not know, or
//! comes near a limit, it stops without a word and rhai evaluates the row: scripts have no effects, so
//! what rhai then says (a value, or an error with its place) is what it would have said at once.

use std::cell::Cell;
use std::collections::HashMap;

use rhai::{AST, ASTFlags, ASTNode, Dynamic, Expr, Position, Stmt};

use crate::fast::{self, Names, Node, Row};
use crate::operators;
use crate::{Limits, ScriptError, ScriptErrorKind};

/// A script as trees over the columns that it reads.
#[derive(Debug)]
pub(crate) struct Compiled {
    functions: Vec<Function>,
    /// The columns, by their places among those of the input.
    pub(crate) reads: Vec<usize>,
}

#[derive(Debug)]
struct Function {
    body: Vec<Step>,
    /// Variables that are declared in it, its parameters included.
    variables: usize,
}

/// What a function does.
#[derive(Debug)]
enum Step {
    Give(Node),
    Set(usize, Box<Step>),
    If(Node, Vec<Step>, Vec<Step>),
    Block(Vec<Step>),
    Return(Box<Step>),
    Nothing,
}

/// What a step comes to.
enum Flow {
    Value(Dynamic),
    Return(Dynamic),
}

/// The work of one row, shared by all calls in it.
#[derive(Debug)]
pub(crate) struct Work<'a> {
    compiled: &'a Compiled,
    steps: &'a Cell<u64>,
    depth: usize,
}

/// rhai counts at most so many operations for a step here.
const OPERATIONS_OF_A_STEP: u64 = 16;

/// Calls below rhai's limit at which rhai is left to say whether the limit is met.
const SPARE_CALLS: usize = 2;

/// Variables in one function; rhai allows more, of which a script has no use.
const MOST_VARIABLES: usize = 64;

/// Functions that are made of those of a script: one with a row among its parameters is another.
const MOST_FUNCTIONS: usize = 256;

/// Levels of statements; the parser allows fewer expressions.
const DEEPEST: usize = 64;

impl Compiled {
    /// The script, or nothing where it holds what only rhai can do. `columns` are those of the input.
    pub(crate) fn new(ast: &AST, entry: &str, columns: &[&str]) -> Option<Self> {
        let mut compiler = Compiler {
            ast,
            columns,
            reads: Vec::new(),
            numbers: HashMap::new(),
            functions: Vec::new(),
        };
        compiler.function(entry, &[true])?;
        let functions = compiler.functions.into_iter().collect::<Option<Vec<_>>>()?;
        Some(Self {
            functions,
            reads: compiler.reads,
        })
    }

    /// The value for a row, or nothing where rhai must say. `cells` are those of `reads`.
    pub(crate) fn evaluate(&self, cells: &[Dynamic], limits: &Limits) -> Option<Dynamic> {
        let steps = Cell::new(0);
        let work = Work {
            compiled: self,
            steps: &steps,
            depth: 1,
        };
        work.call(0, Vec::new(), cells, limits).ok()
    }
}

impl Work<'_> {
    /// Counts a step.
    pub(crate) fn step(&self, limits: &Limits) -> Result<(), ScriptError> {
        let steps = self.steps.get().saturating_add(1);
        self.steps.set(steps);
        if steps > limits.operations / OPERATIONS_OF_A_STEP {
            return Err(left_to_rhai());
        }
        Ok(())
    }

    /// Calls a function of the script from within another.
    pub(crate) fn call_deeper(
        &self,
        function: usize,
        arguments: Vec<Dynamic>,
        row: &Row<'_>,
    ) -> Result<Dynamic, ScriptError> {
        if self.depth.saturating_add(SPARE_CALLS) >= row.limits.call_depth {
            return Err(left_to_rhai());
        }
        let work = Work {
            compiled: self.compiled,
            steps: self.steps,
            depth: self.depth + 1,
        };
        work.call(function, arguments, row.cells, row.limits)
    }

    fn call(
        &self,
        function: usize,
        mut locals: Vec<Dynamic>,
        cells: &[Dynamic],
        limits: &Limits,
    ) -> Result<Dynamic, ScriptError> {
        let function = self.compiled.functions.get(function);
        let function = function.ok_or_else(left_to_rhai)?;
        locals.resize(function.variables, Dynamic::UNIT);
        let given = self.run(&function.body, &mut locals, cells, limits)?;
        Ok(match given {
            Flow::Value(value) | Flow::Return(value) => value,
        })
    }

    fn run(
        &self,
        steps: &[Step],
        locals: &mut Vec<Dynamic>,
        cells: &[Dynamic],
        limits: &Limits,
    ) -> Result<Flow, ScriptError> {
        let mut last = Flow::Value(Dynamic::UNIT);
        for step in steps {
            last = self.take(step, locals, cells, limits)?;
            if matches!(last, Flow::Return(_)) {
                break;
            }
        }
        Ok(last)
    }

    fn take(
        &self,
        step: &Step,
        locals: &mut Vec<Dynamic>,
        cells: &[Dynamic],
        limits: &Limits,
    ) -> Result<Flow, ScriptError> {
        self.step(limits)?;
        let evaluate = |node: &Node, locals: &[Dynamic]| {
            node.evaluate(&Row {
                cells,
                limits,
                locals,
                work: Some(self),
            })
        };
        match step {
            Step::Nothing => Ok(Flow::Value(Dynamic::UNIT)),
            Step::Give(node) => evaluate(node, locals).map(Flow::Value),
            Step::Set(slot, source) => match self.take(source, locals, cells, limits)? {
                Flow::Value(value) => {
                    let variable = locals.get_mut(*slot).ok_or_else(left_to_rhai)?;
                    *variable = value;
                    Ok(Flow::Value(Dynamic::UNIT))
                }
                returned @ Flow::Return(_) => Ok(returned),
            },
            Step::If(condition, then, otherwise) => {
                // In a script a condition is true or false; null is an error, which rhai words.
                let holds = evaluate(condition, locals)?;
                let holds = holds.as_bool().map_err(|_| left_to_rhai())?;
                self.run(if holds { then } else { otherwise }, locals, cells, limits)
            }
            Step::Block(steps) => self.run(steps, locals, cells, limits),
            Step::Return(source) => Ok(match self.take(source, locals, cells, limits)? {
                Flow::Value(value) | Flow::Return(value) => Flow::Return(value),
            }),
        }
    }
}

/// Stands for whatever rhai will say of the row; nobody sees it.
#[cold]
pub(crate) fn left_to_rhai() -> ScriptError {
    ScriptError::new(ScriptErrorKind::Runtime, String::new())
}

/// Functions in the making, by name and by which of their parameters are the row.
struct Compiler<'a> {
    ast: &'a AST,
    columns: &'a [&'a str],
    reads: Vec<usize>,
    numbers: HashMap<(String, Vec<bool>), usize>,
    /// Nothing while one is being compiled, as a function may call itself.
    functions: Vec<Option<Function>>,
}

/// The statements of a function. Its body is of a type that rhai does not show, but walks over: those
/// are the statements between its braces that are in no other.
fn statements_of(ast: &AST, start: Position, end: Position) -> Option<Vec<Stmt>> {
    let mut statements = Vec::new();
    let mut is_placed = !start.is_none() && !end.is_none();
    ast.walk(&mut |path: &[ASTNode<'_>]| {
        if let [ASTNode::Stmt(statement)] = path {
            let position = statement.position();
            is_placed &= !position.is_none();
            if (start..=end).contains(&position) {
                statements.push((*statement).clone());
            }
        }
        is_placed
    });
    is_placed.then_some(statements)
}

/// What a name in a function is.
#[derive(Clone)]
enum Meaning {
    Row,
    Variable(usize),
    /// One that cannot be assigned to.
    Constant(usize),
}

/// A function in the making.
struct Body<'a, 'b> {
    compiler: &'b mut Compiler<'a>,
    /// The names that are seen, the innermost last.
    names: Vec<(String, Meaning)>,
    variables: usize,
}

impl Compiler<'_> {
    /// The number of a function of the script for such arguments.
    fn function(&mut self, name: &str, rows: &[bool]) -> Option<usize> {
        let key = (name.to_owned(), rows.to_vec());
        if let Some(number) = self.numbers.get(&key) {
            return Some(*number);
        }
        let ast = self.ast;
        let mut named = ast
            .iter_fn_def()
            .filter(|function| function.name == name && function.params.len() == rows.len());
        // A second one is for `this` of another type.
        let (found, None) = (named.next()?, named.next()) else {
            return None;
        };
        let number = self.functions.len();
        if number >= MOST_FUNCTIONS {
            return None;
        }
        self.numbers.insert(key, number);
        self.functions.push(None);
        let mut names = Vec::new();
        for (slot, (parameter, is_row)) in found.params.iter().zip(rows).enumerate() {
            let meaning = if *is_row {
                Meaning::Row
            } else {
                Meaning::Variable(slot)
            };
            names.push((parameter.to_string(), meaning));
        }
        let mut body = Body {
            compiler: self,
            names,
            variables: rows.len(),
        };
        let (start, end) = (found.body.start_position(), found.body.end_position());
        let steps = body.steps(&statements_of(ast, start, end)?, 0)?;
        let function = Function {
            body: steps,
            variables: body.variables,
        };
        *self.functions.get_mut(number)? = Some(function);
        Some(number)
    }

    fn has_function(&self, name: &str) -> bool {
        self.ast.iter_fn_def().any(|function| function.name == name)
    }
}

impl Body<'_, '_> {
    fn steps(&mut self, statements: &[Stmt], depth: usize) -> Option<Vec<Step>> {
        if depth > DEEPEST {
            return None;
        }
        let seen = self.names.len();
        let steps = statements
            .iter()
            .map(|statement| self.step(statement, depth))
            .collect();
        self.names.truncate(seen);
        steps
    }

    fn step(&mut self, statement: &Stmt, depth: usize) -> Option<Step> {
        Some(match statement {
            Stmt::Noop(_) => Step::Nothing,
            Stmt::Expr(expression) => self.source(expression, depth)?,
            Stmt::FnCall(call, position) => {
                let expression = Expr::FnCall(call.clone(), *position);
                Step::Give(fast::translate(&expression, self)?)
            }
            Stmt::Block(block) => Step::Block(self.steps(block.statements(), depth + 1)?),
            Stmt::If(parts, _) => Step::If(
                fast::translate(&parts.expr, self)?,
                self.steps(parts.body.statements(), depth + 1)?,
                self.steps(parts.branch.statements(), depth + 1)?,
            ),
            Stmt::Var(declared, flags, _) => {
                let (name, expression, _) = &**declared;
                let source = self.source(expression, depth)?;
                let slot = self.variables;
                if slot >= MOST_VARIABLES {
                    return None;
                }
                self.variables += 1;
                let meaning = if flags.contains(ASTFlags::CONSTANT) {
                    Meaning::Constant(slot)
                } else {
                    Meaning::Variable(slot)
                };
                self.names.push((name.name.to_string(), meaning));
                Step::Set(slot, Box::new(source))
            }
            Stmt::Assignment(parts) => {
                let (operator, sides) = &**parts;
                let Expr::Variable(variable, ..) = &sides.lhs else {
                    return None;
                };
                let Meaning::Variable(slot) = self.meaning(&variable.1)? else {
                    return None;
                };
                if operator.is_op_assignment() {
                    return None;
                }
                Step::Set(slot, Box::new(self.source(&sides.rhs, depth)?))
            }
            // With a flag it is `throw`.
            Stmt::Return(given, flags, _) if flags.is_empty() => {
                Step::Return(Box::new(match given {
                    Some(expression) => self.source(expression, depth)?,
                    None => Step::Nothing,
                }))
            }
            _ => return None,
        })
    }

    /// An expression, or a block that stands for one, as in `let x = if … { … } else { … }`.
    fn source(&mut self, expression: &Expr, depth: usize) -> Option<Step> {
        match expression {
            Expr::Stmt(block) => Some(Step::Block(self.steps(block.statements(), depth + 1)?)),
            other => fast::translate(other, self).map(Step::Give),
        }
    }

    fn meaning(&self, name: &str) -> Option<Meaning> {
        let mut names = self.names.iter().rev();
        let (_, meaning) = names.find(|(known, _)| known == name)?;
        Some(meaning.clone())
    }

    fn is_row(&self, expression: &Expr) -> bool {
        match expression {
            Expr::Variable(variable, ..) => matches!(self.meaning(&variable.1), Some(Meaning::Row)),
            _ => false,
        }
    }
}

impl Names for Body<'_, '_> {
    fn variable(&mut self, name: &str) -> Option<Node> {
        match self.meaning(name)? {
            // The row as a value is a map, which only rhai has.
            Meaning::Row => None,
            Meaning::Variable(slot) | Meaning::Constant(slot) => Some(Node::Local(slot)),
        }
    }

    fn property(&mut self, of: &Expr, name: &str) -> Option<Node> {
        if !self.is_row(of) {
            return None;
        }
        let columns = self.compiler.columns;
        let column = columns.iter().position(|column| *column == name)?;
        let reads = &mut self.compiler.reads;
        let place = reads.iter().position(|read| *read == column);
        Some(Node::Column(place.unwrap_or_else(|| {
            reads.push(column);
            reads.len() - 1
        })))
    }

    fn call(&mut self, name: &str, arguments: &[Expr]) -> Option<Node> {
        if !self.compiler.has_function(name) {
            return fast::builtin(name, arguments, self);
        }
        let rows: Vec<bool> = arguments.iter().map(|part| self.is_row(part)).collect();
        let mut nodes = Vec::with_capacity(arguments.len());
        for (argument, is_row) in arguments.iter().zip(&rows) {
            nodes.push(if *is_row {
                Node::Constant(Dynamic::UNIT)
            } else {
                fast::translate(argument, self)?
            });
        }
        let number = self.compiler.function(name, &rows)?;
        Some(Node::Call(number, nodes))
    }

    fn method(&mut self, name: &str, of: Node, arguments: &[Expr]) -> Option<Node> {
        // A function of the script would have the value as `this`.
        if self.compiler.has_function(name) {
            return None;
        }
        fast::builtin_method(name, of, arguments, self)
    }

    fn is_strict(&self) -> bool {
        true
    }
}

/// Whether a value is what a condition of a script must be.
pub(crate) fn strict(value: &Dynamic) -> Result<bool, ScriptError> {
    match operators::condition(value) {
        Ok(holds) if !value.is_unit() => Ok(holds),
        _ => Err(left_to_rhai()),
    }
}
