//! The engines that every script runs in, and the list of what it can reach.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::{Arc, OnceLock};

use rhai::module_resolvers::DummyModuleResolver;
use rhai::packages::{
    ArithmeticPackage, BasicArrayPackage, BasicFnPackage, BasicIteratorPackage, BasicMapPackage,
    BasicMathPackage, BasicStringPackage, LanguageCorePackage, LogicPackage, MoreStringPackage,
    Package,
};
use rhai::{AST, Dynamic, Engine, EvalAltResult, OptimizationLevel, ParseError};

use crate::error::DISABLED;
use crate::{Limits, ScriptError, ScriptErrorKind, functions, operators, syntax};

/// Functions that a script may define, and variables that it may declare.
pub(crate) const MAX_DEFINITIONS: usize = 256;

/// What is written: one value, or functions with statements. They differ in a few functions.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Language {
    Expression,
    Script,
}

/// rhai under limits. Cheap to clone; most callers use [`Sandbox::shared`].
#[derive(Clone)]
pub struct Sandbox {
    expressions: Arc<Engine>,
    scripts: Arc<Engine>,
    limits: Limits,
}

impl std::fmt::Debug for Sandbox {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter
            .debug_struct("Sandbox")
            .field("limits", &self.limits)
            .finish_non_exhaustive()
    }
}

impl Sandbox {
    /// The sandbox with the default limits.
    #[must_use]
    pub fn shared() -> &'static Self {
        static SHARED: OnceLock<Sandbox> = OnceLock::new();
        SHARED.get_or_init(|| Self::new(Limits::default()))
    }

    /// A sandbox with limits of its own.
    #[must_use]
    pub fn new(limits: Limits) -> Self {
        Self {
            expressions: Arc::new(Self::engine(Language::Expression, &limits)),
            scripts: Arc::new(Self::engine(Language::Script, &limits)),
            limits,
        }
    }

    fn engine(language: Language, limits: &Limits) -> Engine {
        // Raw: nothing is registered but what follows.
        let mut engine = Engine::new_raw();
        LanguageCorePackage::new().register_into_engine(&mut engine);
        ArithmeticPackage::new().register_into_engine(&mut engine);
        LogicPackage::new().register_into_engine(&mut engine);
        BasicStringPackage::new().register_into_engine(&mut engine);
        MoreStringPackage::new().register_into_engine(&mut engine);
        BasicIteratorPackage::new().register_into_engine(&mut engine);
        BasicFnPackage::new().register_into_engine(&mut engine);
        BasicArrayPackage::new().register_into_engine(&mut engine);
        BasicMapPackage::new().register_into_engine(&mut engine);
        BasicMathPackage::new().register_into_engine(&mut engine);
        operators::register(&mut engine);
        functions::register(&mut engine, language, limits.string_bytes, limits.array_len);
        engine
            .set_module_resolver(DummyModuleResolver::new())
            // The tree must stay as written: references are read from it.
            .set_optimization_level(OptimizationLevel::None)
            .set_fail_on_invalid_map_property(true)
            .set_max_modules(0)
            .set_max_operations(limits.operations)
            .set_max_call_levels(limits.call_depth)
            .set_max_string_size(limits.string_bytes)
            .set_max_array_size(limits.array_len)
            .set_max_map_size(limits.map_len)
            .set_max_functions(MAX_DEFINITIONS)
            .set_max_variables(MAX_DEFINITIONS)
            .set_max_expr_depths(limits.expression_depth, limits.expression_depth / 2);
        for symbol in DISABLED {
            engine.disable_symbol(symbol);
        }
        engine
    }

    const fn for_language(&self, language: Language) -> &Arc<Engine> {
        match language {
            Language::Expression => &self.expressions,
            Language::Script => &self.scripts,
        }
    }

    /// Compiles by `compile`, which is given the engine.
    pub(crate) fn compile(
        &self,
        language: Language,
        source: &str,
        compile: impl FnOnce(&Engine) -> Result<AST, ParseError>,
    ) -> Result<AST, ScriptError> {
        if source.len() > self.limits.source_bytes {
            let (bytes, limit) = (source.len(), self.limits.source_bytes);
            return Err(ScriptError::new(
                ScriptErrorKind::Limit,
                format!("it has {bytes} bytes, more than the {limit} that a script may have"),
            )
            .help("split it: data does not belong into a script"));
        }
        let engine = self.for_language(language);
        let place = |error: ScriptError| error.at(syntax::first_character(source));
        guarded(|| compile(engine).map_err(|error| ScriptError::from_parse(&error))).map_err(place)
    }

    /// What it allows.
    pub(crate) const fn limits(&self) -> &Limits {
        &self.limits
    }

    /// Evaluates by `evaluate`, which is given the engine. Call it, and let go of what it gives, where
    /// there is room for nested values.
    pub(crate) fn evaluate(
        &self,
        language: Language,
        evaluate: impl FnOnce(&Engine) -> Result<Dynamic, Box<EvalAltResult>>,
    ) -> Result<Dynamic, ScriptError> {
        let engine = self.for_language(language);
        guarded(|| evaluate(engine).map_err(|error| ScriptError::from_eval(&error, &self.limits)))
    }
}

/// Some functions of the language panic on some arguments (`sort` with an inconsistent comparison,
/// say). A script's text must not take its process down.
fn guarded<T>(work: impl FnOnce() -> Result<T, ScriptError>) -> Result<T, ScriptError> {
    catch_unwind(AssertUnwindSafe(work)).unwrap_or_else(|_| {
        Err(ScriptError::new(
            ScriptErrorKind::Runtime,
            "the script engine failed on this script",
        )
        .help("look for a `sort` whose comparison contradicts itself"))
    })
}
