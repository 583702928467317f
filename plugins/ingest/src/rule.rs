//! A column's rule: how a cell becomes a value of the column's type, and which values the contract
//! lets through. A rule is checked and compiled once, and applied to every cell.

use std::borrow::Cow;
use std::collections::HashSet;

use regex::Regex;
use serde_json::Value;

use crate::cell::{Cell, Converted};
use crate::number_text::{NumberFault, int_from_float, parse_bool, parse_float, parse_int};
use crate::options::{ColumnSpec, ColumnType};
use crate::time_text::TimeReader;

/// A constant or default text longer than this is refused: it is repeated in every row of a batch,
/// whose texts Arrow addresses with 31 bits.
const MAX_CONSTANT_BYTES: usize = 4096;

/// Why a value is not accepted. Few distinct texts, so that rejects can be counted by reason; the
/// offending value stands beside it in the quarantine.
pub(crate) type Reason = Cow<'static, str>;

/// How the cells of one column become values.
#[derive(Debug, Clone)]
pub(crate) struct Rule {
    kind: ColumnType,
    trim: bool,
    null_values: Vec<String>,
    times: TimeReader,
    default: Option<Converted<'static>>,
    contract: Contract,
}

/// Which values a column may hold.
#[derive(Debug, Clone, Default)]
struct Contract {
    not_null: bool,
    min: Option<Bound>,
    max: Option<Bound>,
    allowed: Option<Allowed>,
    pattern: Option<(Regex, Reason)>,
}

#[derive(Debug, Clone)]
struct Bound {
    value: Converted<'static>,
    reason: Reason,
}

#[derive(Debug, Clone)]
struct Allowed {
    texts: HashSet<String>,
    values: Vec<Converted<'static>>,
    reason: Reason,
}

impl Rule {
    /// A rule for a column of type `kind` without a contract.
    pub(crate) fn plain(kind: ColumnType, null_values: &[String]) -> Self {
        Self {
            kind,
            trim: false,
            null_values: null_values.to_vec(),
            times: TimeReader::iso_utc(),
            default: None,
            contract: Contract::default(),
        }
    }

    /// The rule that a column's options describe; `kind` is its type, given or found.
    ///
    /// # Errors
    ///
    /// Says which option does not fit, and why.
    pub(crate) fn new(
        spec: &ColumnSpec,
        kind: ColumnType,
        null_values: &[String],
    ) -> Result<Self, String> {
        let patterns = spec
            .format
            .as_ref()
            .map_or(&[] as &[String], |format| &format.0);
        let is_time = matches!(kind, ColumnType::Date | ColumnType::Timestamp);
        if !is_time && (!patterns.is_empty() || spec.timezone.is_some()) {
            return Err(format!(
                "`format` and `timezone` are for dates and timestamps, not for {}",
                kind.name()
            ));
        }
        let times = TimeReader::new(patterns, spec.timezone.as_deref())?;
        let mut rule = Self {
            kind,
            trim: spec.trim,
            null_values: spec
                .null_values
                .clone()
                .unwrap_or_else(|| null_values.to_vec()),
            times,
            default: None,
            contract: Contract::default(),
        };
        rule.default = spec
            .default
            .as_ref()
            .map(|value| rule.constant("default", value))
            .transpose()?;
        let min = rule.bound("min", spec.min.as_ref())?;
        let max = rule.bound("max", spec.max.as_ref())?;
        if let (Some(low), Some(high)) = (&min, &max)
            && is_less(&high.value, &low.value)
        {
            return Err("`max` is less than `min`: no value could pass".to_owned());
        }
        let allowed = rule.allowed(spec.allowed.as_deref())?;
        let pattern = compile_regex(spec.pattern.as_deref(), kind)?;
        rule.contract = Contract {
            not_null: spec.not_null,
            min,
            max,
            allowed,
            pattern,
        };
        if let Some(default) = &rule.default
            && let Err(reason) = rule.contract.check(default)
        {
            return Err(format!(
                "`default` breaks the column's own contract: {reason}"
            ));
        }
        Ok(rule)
    }

    /// The type of the column.
    pub(crate) const fn kind(&self) -> ColumnType {
        self.kind
    }

    /// Whether this rule takes every value of its type as it is.
    pub(crate) fn is_plain(&self) -> bool {
        let Contract {
            not_null,
            min,
            max,
            allowed,
            pattern,
        } = &self.contract;
        let contract_is_empty =
            !not_null && min.is_none() && max.is_none() && allowed.is_none() && pattern.is_none();
        contract_is_empty && self.default.is_none() && !self.trim
    }

    /// Whether a row without a value for this column can pass.
    pub(crate) const fn has_default(&self) -> bool {
        self.default.is_some()
    }

    /// The value that a YAML constant means in this column.
    ///
    /// # Errors
    ///
    /// Says why the constant is no value of the column's type.
    pub(crate) fn constant(
        &self,
        option: &str,
        value: &Value,
    ) -> Result<Converted<'static>, String> {
        let cell = match value {
            Value::Null => return Ok(Converted::Null),
            Value::Bool(truth) => Cell::Bool(*truth),
            Value::Number(number) => number_cell(number),
            Value::String(text) if text.len() > MAX_CONSTANT_BYTES => {
                return Err(format!(
                    "`{option}` is longer than {MAX_CONSTANT_BYTES} bytes"
                ));
            }
            Value::String(text) => Cell::Text(Cow::Borrowed(text)),
            Value::Array(_) | Value::Object(_) => {
                return Err(format!(
                    "`{option}` holds a list or a mapping; it takes one value"
                ));
            }
        };
        // Bounds and constants of dates are ISO 8601 whatever notation the files have.
        let converted = match (&cell, self.kind) {
            (Cell::Text(text), ColumnType::Date) => {
                TimeReader::iso_utc().day(text).map(Converted::Day)
            }
            (Cell::Text(text), ColumnType::Timestamp) => {
                self.times.clone_iso().instant(text).map(Converted::Instant)
            }
            _ => self.convert(cell.clone()).ok().map(Converted::into_owned),
        };
        converted.ok_or_else(|| {
            let text = cell.to_text().unwrap_or_default();
            format!("`{option}: {text}` is no {}", self.kind.name())
        })
    }

    fn bound(&self, option: &'static str, value: Option<&Value>) -> Result<Option<Bound>, String> {
        let Some(value) = value else { return Ok(None) };
        if matches!(self.kind, ColumnType::String | ColumnType::Bool) {
            return Err(format!(
                "`{option}` is for numbers, dates and timestamps, not for {}",
                self.kind.name()
            ));
        }
        let value = self.constant(option, value)?;
        if value == Converted::Null {
            return Ok(None);
        }
        let relation = if option == "min" {
            "below min"
        } else {
            "above max"
        };
        let reason = format!("{relation} {}", value.to_text()).into();
        Ok(Some(Bound { value, reason }))
    }

    fn allowed(&self, values: Option<&[Value]>) -> Result<Option<Allowed>, String> {
        let Some(values) = values else {
            return Ok(None);
        };
        if values.is_empty() {
            return Err("`allowed` is empty: no value could pass".to_owned());
        }
        let values = values
            .iter()
            .map(|value| self.constant("allowed", value))
            .collect::<Result<Vec<_>, String>>()?;
        let shown: Vec<_> = values.iter().take(8).map(Converted::to_text).collect();
        let more = if values.len() > shown.len() {
            ", …"
        } else {
            ""
        };
        let reason = format!("not one of {}{more}", shown.join(", ")).into();
        let texts = values
            .iter()
            .filter_map(|value| match value {
                Converted::Text(text) => Some(text.clone().into_owned()),
                _ => None,
            })
            .collect();
        Ok(Some(Allowed {
            texts,
            values,
            reason,
        }))
    }

    /// The value that a cell means, if the contract lets it through.
    ///
    /// # Errors
    ///
    /// Says why it is refused.
    pub(crate) fn apply<'a>(&self, cell: Cell<'a>) -> Result<Converted<'a>, Reason> {
        let converted = self.convert(cell)?;
        if converted == Converted::Null {
            if let Some(default) = &self.default {
                // A default is short, and rare.
                return Ok(default.clone());
            }
            if self.contract.not_null {
                return Err("no value, and the column is not_null".into());
            }
            return Ok(Converted::Null);
        }
        self.contract.check(&converted)?;
        Ok(converted)
    }

    fn convert<'a>(&self, cell: Cell<'a>) -> Result<Converted<'a>, Reason> {
        match cell {
            Cell::Null | Cell::Absent => Ok(Converted::Null),
            Cell::Field(text) => {
                let trimmed = text.trim();
                let is_null =
                    trimmed.is_empty() || self.null_values.iter().any(|null| null == trimmed);
                if is_null {
                    Ok(Converted::Null)
                } else {
                    self.convert_text(text)
                }
            }
            Cell::Text(text) => {
                if self.null_values.iter().any(|null| null == text.trim()) {
                    return Ok(Converted::Null);
                }
                self.convert_text(text)
            }
            Cell::Nested(json) if self.kind == ColumnType::String => {
                Ok(Converted::Text(Cow::Owned(json)))
            }
            Cell::Nested(_) => Err(self.wrong_type()),
            typed => self.convert_typed(&typed),
        }
    }

    fn convert_text<'a>(&self, text: Cow<'a, str>) -> Result<Converted<'a>, Reason> {
        let trimmed = text.trim();
        match self.kind {
            ColumnType::String if self.trim && trimmed.len() < text.len() => {
                Ok(Converted::Text(trim_cow(text)))
            }
            ColumnType::String => Ok(Converted::Text(text)),
            ColumnType::Int64 => parse_int(trimmed)
                .map(Converted::Int)
                .map_err(|fault| self.bad_number(fault)),
            ColumnType::Float64 => parse_float(trimmed)
                .map(Converted::Float)
                .map_err(|fault| self.bad_number(fault)),
            ColumnType::Bool => parse_bool(trimmed)
                .map(Converted::Bool)
                .ok_or_else(|| self.wrong_type()),
            ColumnType::Date => self
                .times
                .day(trimmed)
                .map(Converted::Day)
                .ok_or_else(|| self.wrong_type()),
            ColumnType::Timestamp => self
                .times
                .instant(trimmed)
                .map(Converted::Instant)
                .ok_or_else(|| self.wrong_type()),
        }
    }

    fn convert_typed(&self, cell: &Cell<'_>) -> Result<Converted<'static>, Reason> {
        let converted = match (self.kind, cell) {
            (ColumnType::Int64, Cell::Int(number)) => Some(Converted::Int(*number)),
            (ColumnType::Int64, Cell::Unsigned(_)) => {
                return Err(self.bad_number(NumberFault::Overflow));
            }
            (ColumnType::Int64, Cell::Float(number)) => {
                let whole = int_from_float(*number).map_err(|fault| self.bad_number(fault))?;
                Some(Converted::Int(whole))
            }
            (ColumnType::Int64, Cell::Bool(truth)) => Some(Converted::Int(i64::from(*truth))),
            #[expect(clippy::cast_precision_loss, reason = "what float64 means")]
            (ColumnType::Float64, Cell::Int(number)) => Some(Converted::Float(*number as f64)),
            #[expect(clippy::cast_precision_loss, reason = "what float64 means")]
            (ColumnType::Float64, Cell::Unsigned(number)) => Some(Converted::Float(*number as f64)),
            (ColumnType::Float64, Cell::Float(number)) if number.is_finite() => {
                Some(Converted::Float(*number))
            }
            (ColumnType::Bool, Cell::Bool(truth)) => Some(Converted::Bool(*truth)),
            (ColumnType::Bool, Cell::Int(number @ (0 | 1))) => Some(Converted::Bool(*number == 1)),
            (ColumnType::Date, Cell::Day(day)) => Some(Converted::Day(*day)),
            (ColumnType::Date, Cell::Instant(micros)) => {
                self.times.day_of(*micros).map(Converted::Day)
            }
            (ColumnType::Date, Cell::Clock(micros)) => {
                TimeReader::iso_utc().day_of(*micros).map(Converted::Day)
            }
            (ColumnType::Timestamp, Cell::Instant(micros)) => Some(Converted::Instant(*micros)),
            (ColumnType::Timestamp, Cell::Clock(micros)) => {
                self.times.instant_of_clock(*micros).map(Converted::Instant)
            }
            (ColumnType::Timestamp, Cell::Day(day)) => {
                let midnight = i64::from(*day).checked_mul(crate::time_text::MICROS_PER_DAY);
                midnight
                    .and_then(|clock| self.times.instant_of_clock(clock))
                    .map(Converted::Instant)
            }
            // Unix times and compact notations such as 20101201 are numbers in JSON.
            (ColumnType::Timestamp, Cell::Int(number)) => self
                .times
                .instant(&number.to_string())
                .map(Converted::Instant),
            (ColumnType::Date, Cell::Int(number)) => {
                self.times.day(&number.to_string()).map(Converted::Day)
            }
            (ColumnType::String, cell) => cell.to_text().map(|text| Converted::Text(text.into())),
            _ => None,
        };
        converted.ok_or_else(|| self.wrong_type())
    }

    fn bad_number(&self, fault: NumberFault) -> Reason {
        match (fault, self.kind) {
            (NumberFault::Fraction, _) => "has a fraction, and the column is int64".into(),
            (NumberFault::Overflow, ColumnType::Int64) => "beyond the range of int64".into(),
            (NumberFault::Overflow, _) => "beyond the range of float64".into(),
            (NumberFault::NotANumber, _) => self.wrong_type(),
        }
    }

    fn wrong_type(&self) -> Reason {
        match self.kind {
            ColumnType::String => "not a text".into(),
            ColumnType::Int64 => "not a whole number (int64)".into(),
            ColumnType::Float64 => "not a finite number (float64)".into(),
            ColumnType::Bool => "not a truth value (bool)".into(),
            ColumnType::Date => "not a date in the column's format".into(),
            ColumnType::Timestamp => "not a timestamp in the column's format".into(),
        }
    }
}

impl Contract {
    /// # Errors
    ///
    /// Says which clause the value breaks. Null breaks none here.
    fn check(&self, value: &Converted<'_>) -> Result<(), Reason> {
        if let Some(min) = &self.min
            && is_less(value, &min.value)
        {
            return Err(min.reason.clone());
        }
        if let Some(max) = &self.max
            && is_less(&max.value, value)
        {
            return Err(max.reason.clone());
        }
        if let Some(allowed) = &self.allowed {
            let is_allowed = match value {
                Converted::Null => true,
                Converted::Text(text) => allowed.texts.contains(text.as_ref()),
                other => allowed.values.contains(other),
            };
            if !is_allowed {
                return Err(allowed.reason.clone());
            }
        }
        if let (Some((regex, reason)), Converted::Text(text)) = (&self.pattern, value)
            && !regex.is_match(text)
        {
            return Err(reason.clone());
        }
        Ok(())
    }
}

/// Whether a value is below another of the same type.
fn is_less(left: &Converted<'_>, right: &Converted<'_>) -> bool {
    match (left, right) {
        (Converted::Int(left), Converted::Int(right))
        | (Converted::Instant(left), Converted::Instant(right)) => left < right,
        (Converted::Float(left), Converted::Float(right)) => left < right,
        (Converted::Day(left), Converted::Day(right)) => left < right,
        _ => false,
    }
}

/// The cell that a JSON number is.
pub(crate) fn number_cell(number: &serde_json::Number) -> Cell<'static> {
    if let Some(whole) = number.as_i64() {
        Cell::Int(whole)
    } else if let Some(whole) = number.as_u64() {
        Cell::Unsigned(whole)
    } else {
        Cell::Float(number.as_f64().unwrap_or(f64::NAN))
    }
}

fn compile_regex(
    pattern: Option<&str>,
    kind: ColumnType,
) -> Result<Option<(Regex, Reason)>, String> {
    let Some(pattern) = pattern else {
        return Ok(None);
    };
    if kind != ColumnType::String {
        return Err(format!("`pattern` is for string, not for {}", kind.name()));
    }
    // Checked alone first, so that the message is about the pattern as it was written.
    Regex::new(pattern).map_err(|error| {
        let last_line = error.to_string();
        let why = last_line
            .lines()
            .last()
            .unwrap_or("it does not parse")
            .trim();
        format!(
            "`pattern: {pattern}` is no regular expression: {}",
            why.trim_start_matches("error: ")
        )
    })?;
    let anchored = Regex::new(&format!("^(?:{pattern})$"))
        .map_err(|error| format!("`pattern: {pattern}` is too big: {error}"))?;
    Ok(Some((anchored, format!("does not match {pattern}").into())))
}

fn trim_cow(text: Cow<'_, str>) -> Cow<'_, str> {
    match text {
        Cow::Borrowed(text) => Cow::Borrowed(text.trim()),
        Cow::Owned(text) => Cow::Owned(text.trim().to_owned()),
    }
}

#[cfg(test)]
mod tests {
    #![expect(clippy::unwrap_used, reason = "tests")]

    use super::*;
    use serde_json::json;

    fn rule(kind: ColumnType, spec: Value) -> Result<Rule, String> {
        let spec: ColumnSpec = serde_json::from_value(spec).unwrap();
        Rule::new(&spec, kind, &["NA".to_owned()])
    }

    fn field(rule: &Rule, text: &'static str) -> Result<Converted<'static>, String> {
        rule.apply(Cell::Field(text.into()))
            .map_err(|reason| reason.to_string())
    }

    #[test]
    fn fields_become_values() {
        let id = rule(ColumnType::Int64, json!({})).unwrap();
        assert_eq!(field(&id, " 15987.0 "), Ok(Converted::Int(15_987)));
        assert_eq!(field(&id, ""), Ok(Converted::Null));
        assert_eq!(field(&id, " NA"), Ok(Converted::Null));
        assert_eq!(
            field(&id, "12abc"),
            Err("not a whole number (int64)".to_owned())
        );
        assert_eq!(
            field(&id, "1.5"),
            Err("has a fraction, and the column is int64".to_owned())
        );
        assert_eq!(
            field(&id, "9223372036854775808"),
            Err("beyond the range of int64".to_owned())
        );
        let price = rule(ColumnType::Float64, json!({})).unwrap();
        for text in ["NaN", "inf", "-Infinity"] {
            assert_eq!(
                field(&price, text),
                Err("not a finite number (float64)".to_owned())
            );
        }
    }

    #[test]
    fn texts_keep_their_blanks_unless_told() {
        let kept = rule(ColumnType::String, json!({})).unwrap();
        assert_eq!(field(&kept, " a "), Ok(Converted::Text(" a ".into())));
        assert_eq!(field(&kept, "   "), Ok(Converted::Null));
        let trimmed = rule(ColumnType::String, json!({ "trim": true })).unwrap();
        assert_eq!(field(&trimmed, " a "), Ok(Converted::Text("a".into())));
    }

    #[test]
    fn the_contract_says_what_it_refuses() {
        let quantity = rule(
            ColumnType::Int64,
            json!({ "min": 1, "max": 10, "not_null": true }),
        )
        .unwrap();
        assert_eq!(field(&quantity, "1"), Ok(Converted::Int(1)));
        assert_eq!(field(&quantity, "0"), Err("below min 1".to_owned()));
        assert_eq!(field(&quantity, "11"), Err("above max 10".to_owned()));
        assert_eq!(
            field(&quantity, ""),
            Err("no value, and the column is not_null".to_owned())
        );
        let channel = rule(ColumnType::String, json!({ "allowed": ["web", "app"] })).unwrap();
        assert_eq!(
            field(&channel, "fax"),
            Err("not one of web, app".to_owned())
        );
        assert_eq!(field(&channel, ""), Ok(Converted::Null));
        let code = rule(ColumnType::String, json!({ "pattern": "[0-9]{5}[A-Z]?" })).unwrap();
        assert_eq!(field(&code, "85123A"), Ok(Converted::Text("85123A".into())));
        assert_eq!(
            field(&code, "x85123A"),
            Err("does not match [0-9]{5}[A-Z]?".to_owned())
        );
        let day = rule(
            ColumnType::Date,
            json!({ "format": "%d/%m/%Y", "min": "2010-12-01" }),
        )
        .unwrap();
        assert_eq!(
            field(&day, "30/11/2010"),
            Err("below min 2010-12-01".to_owned())
        );
    }

    #[test]
    fn defaults_stand_in_for_missing_values() {
        let channel = rule(
            ColumnType::String,
            json!({ "default": "shop", "not_null": true }),
        )
        .unwrap();
        assert_eq!(field(&channel, "NA"), Ok(Converted::Text("shop".into())));
        let broken = rule(ColumnType::Int64, json!({ "default": 0, "min": 1 })).unwrap_err();
        assert!(broken.contains("below min 1"), "{broken}");
    }

    #[test]
    fn typed_cells_are_converted_exactly() {
        let id = rule(ColumnType::Int64, json!({})).unwrap();
        assert_eq!(id.apply(Cell::Float(7.0)), Ok(Converted::Int(7)));
        assert!(id.apply(Cell::Float(7.5)).is_err());
        assert!(id.apply(Cell::Float(f64::NAN)).is_err());
        assert!(id.apply(Cell::Unsigned(u64::MAX)).is_err());
        let text = rule(ColumnType::String, json!({})).unwrap();
        assert_eq!(
            text.apply(Cell::Float(0.5)),
            Ok(Converted::Text("0.5".into()))
        );
        assert_eq!(
            text.apply(Cell::Nested("[1]".into())),
            Ok(Converted::Text("[1]".into()))
        );
        let day = rule(ColumnType::Date, json!({ "timezone": "Europe/London" })).unwrap();
        // 23:30Z is half past midnight in London in summer.
        let july = 1_309_476_600_000_000;
        assert_eq!(
            day.apply(Cell::Instant(july)).unwrap().to_text(),
            "2011-07-01"
        );
    }

    #[test]
    fn options_that_do_not_fit_are_named() {
        for (kind, spec, expected) in [
            (
                ColumnType::Int64,
                json!({ "min": "x" }),
                "`min: x` is no int64",
            ),
            (
                ColumnType::String,
                json!({ "min": 1 }),
                "`min` is for numbers",
            ),
            (
                ColumnType::Int64,
                json!({ "pattern": "a" }),
                "`pattern` is for string",
            ),
            (
                ColumnType::String,
                json!({ "pattern": "(" }),
                "is no regular expression",
            ),
            (
                ColumnType::Int64,
                json!({ "min": 2, "max": 1 }),
                "`max` is less than `min`",
            ),
            (
                ColumnType::String,
                json!({ "format": "%Y" }),
                "are for dates",
            ),
            (
                ColumnType::String,
                json!({ "allowed": [] }),
                "`allowed` is empty",
            ),
            (
                ColumnType::String,
                json!({ "default": [1] }),
                "takes one value",
            ),
        ] {
            let message = rule(kind, spec).unwrap_err();
            assert!(message.contains(expected), "{message}");
        }
    }
}
