//! Functions beside those of rhai's packages: what those lack, and what in them a script could abuse.
//!
//! - Numbers: the functions of floats take integers too, as the operators do.
//! - In an expression nothing changes in place: `trim`, `sort` and their like give the changed value.
//!   In a script the functions of texts do both; lists change in place, as rhai's book says.
//! - What rhai makes before it looks at its size is counted first here, and what would end never, or
//!   would reach beyond the script, is refused.

use rhai::{Array, Dynamic, Engine, EvalAltResult, ImmutableString, Position};

use crate::operators::{self, Binary, OperatorError};
use crate::sandbox::Language;
use crate::value::type_name;

type Outcome<T> = Result<T, Box<EvalAltResult>>;

/// What rhai calls a text, a list that is too large.
const TEXT: &str = "Length of string";
const LIST: &str = "Size of array/BLOB";

/// Registers a function whose first argument is a text or list that it makes another from: by value
/// in expressions, in place (and giving the value) in scripts.
macro_rules! changing {
    ($engine:ident, $language:ident, $name:literal, $kind:ty, |$this:ident $(, $arg:ident: $type:ty)*| $body:block) => {
        match $language {
            Language::Expression => {
                $engine.register_fn($name, move |$this: $kind $(, $arg: $type)*| -> Outcome<$kind> {
                    let $this = &$this;
                    $body
                });
            }
            Language::Script => {
                $engine.register_fn($name, move |held: &mut $kind $(, $arg: $type)*| -> Outcome<$kind> {
                    let changed: Outcome<$kind> = {
                        let $this = &*held;
                        $body
                    };
                    let changed = changed?;
                    *held = changed.clone();
                    Ok(changed)
                });
            }
        }
    };
}

/// Registers them all. `text_limit` is in bytes, `list_limit` in elements.
pub(crate) fn register(
    engine: &mut Engine,
    language: Language,
    text_limit: usize,
    list_limit: usize,
) {
    register_numbers(engine);
    register_texts(engine, language, text_limit);
    register_lists(engine, language, list_limit);
    register_refusals(engine);
}

#[expect(
    clippy::cast_precision_loss,
    reason = "an integer among floats becomes a float"
)]
fn register_numbers(engine: &mut Engine) {
    for (name, function) in [
        ("sqrt", f64::sqrt as fn(f64) -> f64),
        ("exp", f64::exp),
        ("ln", f64::ln),
        ("log", f64::log10),
        ("sin", f64::sin),
        ("cos", f64::cos),
        ("tan", f64::tan),
        ("asin", f64::asin),
        ("acos", f64::acos),
        ("atan", f64::atan),
        ("to_degrees", f64::to_degrees),
        ("to_radians", f64::to_radians),
    ] {
        engine.register_fn(name, move |x: i64| function(x as f64));
    }
    engine.register_fn("log", |x: i64, base: i64| (x as f64).log(base as f64));
    engine.register_fn("log", |x: i64, base: f64| (x as f64).log(base));
    engine.register_fn("log", |x: f64, base: i64| x.log(base as f64));
    for name in ["floor", "ceiling", "round"] {
        engine.register_fn(name, |x: i64| x);
    }
    for name in ["is_nan", "is_infinite"] {
        engine.register_fn(name, |_: i64| false);
    }
    engine.register_fn("is_finite", |_: i64| true);
    // rhai's `int` gives a float without a fraction.
    engine.register_fn("int", |x: i64| x);
    engine.register_fn("int", truncated);
    engine.register_fn("to_int", truncated);
    engine.register_fn("abs", |x: i64| -> Outcome<i64> {
        x.checked_abs().ok_or_else(|| {
            let message = format!("abs({x}) is out of range for integers");
            OperatorError::Arithmetic(message).into()
        })
    });
}

/// The whole part of a float, where an integer holds it.
#[expect(
    clippy::cast_possible_truncation,
    reason = "the range is looked at before"
)]
fn truncated(x: f64) -> Outcome<i64> {
    const BEYOND: f64 = 9_223_372_036_854_775_808.0; // 2^63
    if (-BEYOND..BEYOND).contains(&x) {
        Ok(x as i64)
    } else {
        let message = format!("the float {x:?} is out of range for integers");
        Err(OperatorError::Arithmetic(message).into())
    }
}

fn register_texts(engine: &mut Engine, language: Language, limit: usize) {
    type Text = ImmutableString;
    changing!(engine, language, "trim", Text, |text| {
        Ok(Text::from(text.trim()))
    });
    changing!(
        engine,
        language,
        "pad",
        Text,
        |text, length: i64, with: &str| { padded(text, length, with, limit) }
    );
    changing!(
        engine,
        language,
        "pad",
        Text,
        |text, length: i64, with: char| {
            padded(text, length, with.encode_utf8(&mut [0; 4]), limit)
        }
    );
    changing!(
        engine,
        language,
        "replace",
        Text,
        |text, from: &str, to: &str| { replaced(text, from, to, limit) }
    );
    changing!(
        engine,
        language,
        "replace",
        Text,
        |text, from: &str, to: char| { replaced(text, from, to.encode_utf8(&mut [0; 4]), limit) }
    );
    changing!(
        engine,
        language,
        "replace",
        Text,
        |text, from: char, to: &str| { replaced(text, from.encode_utf8(&mut [0; 4]), to, limit) }
    );
    changing!(
        engine,
        language,
        "replace",
        Text,
        |text, from: char, to: char| {
            let (mut from_bytes, mut to_bytes) = ([0; 4], [0; 4]);
            let from = from.encode_utf8(&mut from_bytes);
            replaced(text, from, to.encode_utf8(&mut to_bytes), limit)
        }
    );
}

/// rhai's own `replace` makes the text before its size is looked at: of two texts within the limit it
/// can make gigabytes.
fn replaced(text: &str, from: &str, to: &str, limit: usize) -> Outcome<ImmutableString> {
    // As rhai: nothing comes of an empty text.
    if text.is_empty() {
        return Ok(ImmutableString::new());
    }
    let count = text.matches(from).count();
    let kept = text.len().saturating_sub(count.saturating_mul(from.len()));
    if kept.saturating_add(count.saturating_mul(to.len())) > limit {
        return Err(too_large(TEXT));
    }
    Ok(text.replace(from, to).into())
}

/// The text with `with` repeated behind it until it has `length` characters. With nothing to repeat,
/// rhai's own would go on for ever.
fn padded(text: &str, length: i64, with: &str, limit: usize) -> Outcome<ImmutableString> {
    let has = text.chars().count();
    let missing = usize::try_from(length).unwrap_or(0).saturating_sub(has);
    if missing == 0 || with.is_empty() {
        return Ok(text.into());
    }
    if missing > limit {
        return Err(too_large(TEXT));
    }
    let padding = with.chars().cycle().take(missing);
    let padded: String = text.chars().chain(padding).collect();
    if padded.len() > limit {
        return Err(too_large(TEXT));
    }
    Ok(padded.into())
}

fn register_lists(engine: &mut Engine, language: Language, limit: usize) {
    changing!(
        engine,
        language,
        "pad",
        Array,
        |list, length: i64, item: Dynamic| {
            let length = usize::try_from(length).unwrap_or(0);
            // Before rhai's own check, whose sums could overflow.
            if length > limit {
                return Err(too_large(LIST));
            }
            let missing = length.saturating_sub(list.len());
            let padding = std::iter::repeat_n(item.clone(), missing);
            Ok(list.iter().cloned().chain(padding).collect())
        }
    );
    if language == Language::Expression {
        engine.register_fn("reverse", |mut list: Array| {
            list.reverse();
            list
        });
        engine.register_fn("sort", sorted);
        engine.register_fn("dedup", |mut list: Array| {
            list.dedup_by(|next, kept| operators::equal(next, kept).unwrap_or(false));
            list
        });
        engine.register_fn("split", |list: Array, at: i64| -> Array {
            let at = usize::try_from(at).unwrap_or(0);
            list.into_iter().skip(at).collect()
        });
    }
    engine.register_fn("first", |list: &mut Array| {
        list.first().cloned().unwrap_or(Dynamic::UNIT)
    });
    engine.register_fn("last", |list: &mut Array| {
        list.last().cloned().unwrap_or(Dynamic::UNIT)
    });
    engine.register_fn("sum", |list: &mut Array| -> Outcome<Dynamic> {
        let mut sum = Dynamic::from_int(0);
        for item in list.iter() {
            if !(item.is_int() || item.is_float() || item.is_unit()) {
                let name = type_name(item);
                let message = format!("`sum` adds numbers, and a {name} is in the list");
                return Err(OperatorError::Mismatch(message).into());
            }
            sum = Binary::Add.apply(&sum, item)?;
        }
        Ok(sum)
    });
}

/// Numbers by size, or texts by code points.
fn sorted(mut list: Array) -> Outcome<Array> {
    if list.iter().all(Dynamic::is_int) {
        list.sort_by_key(|item| item.as_int().unwrap_or_default());
    } else if list.iter().all(|item| item.is_int() || item.is_float()) {
        // All as floats, so that the order does not contradict itself.
        list.sort_by(|a, b| operators::as_float(a).total_cmp(&operators::as_float(b)));
    } else if list.iter().all(Dynamic::is_string) {
        list.sort_by_cached_key(|item| item.clone().into_string().unwrap_or_default());
    } else {
        let mut names: Vec<&str> = list.iter().map(type_name).collect();
        names.sort_unstable();
        names.dedup();
        let names = names.join(", ");
        let message = format!("`sort` orders numbers or texts, and the list holds {names}");
        return Err(OperatorError::Mismatch(message).into());
    }
    Ok(list)
}

/// Functions of rhai's core that reach the clock, end the script from within, or read what a script
/// has no use for. A check of the text finds them first; this holds however they are called.
fn register_refusals(engine: &mut Engine) {
    fn refuse<T>(name: &str) -> Outcome<T> {
        let message = format!("`{name}` is not available in scripts");
        Err(EvalAltResult::ErrorRuntime(message.into(), Position::NONE).into())
    }
    engine.register_fn("sleep", |_: i64| refuse::<()>("sleep"));
    engine.register_fn("sleep", |_: f64| refuse::<()>("sleep"));
    engine.register_fn("exit", || refuse::<()>("exit"));
    engine.register_fn("exit", |_: Dynamic| refuse::<()>("exit"));
    engine.register_fn("parse_json", |_: &str| refuse::<()>("parse_json"));
}

fn too_large(what: &str) -> Box<EvalAltResult> {
    EvalAltResult::ErrorDataTooLarge(what.to_owned(), Position::NONE).into()
}
