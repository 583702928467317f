//! Functions of the language that a compiled script calls without rhai.
//!
//! Each gives nothing where its arguments are of other types than it knows, or where it would fail:
//! then rhai evaluates the row, and its value or its error counts.

use rhai::Dynamic;

/// A function whose result depends on its arguments alone and that changes none of them.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Builtin {
    Abs,
    Floor,
    Ceiling,
    Round,
    Sqrt,
    Exp,
    Ln,
    ToFloat,
    IsNan,
    IsNull,
    IsTrue,
    Length,
    IsEmpty,
    ToLower,
    ToUpper,
    StartsWith,
    EndsWith,
    Contains,
    Min,
    Max,
}

impl Builtin {
    /// The function of a name with that many arguments.
    pub(crate) fn named(name: &str, arguments: usize) -> Option<Self> {
        Some(match (name, arguments) {
            ("abs", 1) => Self::Abs,
            ("floor", 1) => Self::Floor,
            ("ceiling", 1) => Self::Ceiling,
            ("round", 1) => Self::Round,
            ("sqrt", 1) => Self::Sqrt,
            ("exp", 1) => Self::Exp,
            ("ln", 1) => Self::Ln,
            ("to_float", 1) => Self::ToFloat,
            ("is_nan", 1) => Self::IsNan,
            ("is_null", 1) => Self::IsNull,
            ("is_true", 1) => Self::IsTrue,
            ("len", 1) => Self::Length,
            ("is_empty", 1) => Self::IsEmpty,
            ("to_lower", 1) => Self::ToLower,
            ("to_upper", 1) => Self::ToUpper,
            ("starts_with", 2) => Self::StartsWith,
            ("ends_with", 2) => Self::EndsWith,
            ("contains", 2) => Self::Contains,
            ("min", 2) => Self::Min,
            ("max", 2) => Self::Max,
            _ => return None,
        })
    }

    /// Its result, or nothing where rhai must say.
    pub(crate) fn apply(self, arguments: &[Dynamic]) -> Option<Dynamic> {
        match arguments {
            [value] => self.of_one(value),
            [left, right] => self.of_two(left, right),
            _ => None,
        }
    }

    #[expect(
        clippy::cast_precision_loss,
        reason = "an integer among floats becomes a float"
    )]
    fn of_one(self, value: &Dynamic) -> Option<Dynamic> {
        match self {
            Self::IsNull => return Some(Dynamic::from_bool(value.is_unit())),
            Self::IsTrue if value.is_unit() => return Some(Dynamic::FALSE),
            Self::IsTrue => return value.as_bool().ok().map(Dynamic::from_bool),
            _ => {}
        }
        if let Ok(integer) = value.as_int() {
            let float = integer as f64;
            return Some(match self {
                Self::Abs => Dynamic::from_int(integer.checked_abs()?),
                Self::Floor | Self::Ceiling | Self::Round => Dynamic::from_int(integer),
                Self::Sqrt => Dynamic::from_float(float.sqrt()),
                Self::Exp => Dynamic::from_float(float.exp()),
                Self::Ln => Dynamic::from_float(float.ln()),
                Self::ToFloat => Dynamic::from_float(float),
                Self::IsNan => Dynamic::FALSE,
                _ => return None,
            });
        }
        if let Ok(float) = value.as_float() {
            return Some(match self {
                Self::Abs => Dynamic::from_float(float.abs()),
                Self::Floor => Dynamic::from_float(float.floor()),
                Self::Ceiling => Dynamic::from_float(float.ceil()),
                Self::Round => Dynamic::from_float(float.round()),
                Self::Sqrt => Dynamic::from_float(float.sqrt()),
                Self::Exp => Dynamic::from_float(float.exp()),
                Self::Ln => Dynamic::from_float(float.ln()),
                Self::IsNan => Dynamic::from_bool(float.is_nan()),
                _ => return None,
            });
        }
        let text = value.as_immutable_string_ref().ok()?;
        Some(match self {
            Self::Length => Dynamic::from_int(i64::try_from(text.chars().count()).ok()?),
            Self::IsEmpty => Dynamic::from_bool(text.is_empty()),
            Self::ToLower => text.to_lowercase().into(),
            Self::ToUpper => text.to_uppercase().into(),
            _ => return None,
        })
    }

    fn of_two(self, left: &Dynamic, right: &Dynamic) -> Option<Dynamic> {
        if let (Ok(left), Ok(right)) = (left.as_int(), right.as_int()) {
            return Some(Dynamic::from_int(match self {
                Self::Min => left.min(right),
                Self::Max => left.max(right),
                _ => return None,
            }));
        }
        let left = left.as_immutable_string_ref().ok()?;
        let right = right.as_immutable_string_ref().ok()?;
        Some(Dynamic::from_bool(match self {
            Self::StartsWith => left.starts_with(right.as_str()),
            Self::EndsWith => left.ends_with(right.as_str()),
            Self::Contains => left.contains(right.as_str()),
            _ => return None,
        }))
    }
}
