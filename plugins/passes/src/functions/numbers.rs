//! Functions of a number or a key: `marquetry_ln_1p(x)`, `marquetry_order_key(x)` and `marquetry_draw(seed,
//! key)`.

use std::sync::Arc;

use arrow::array::{ArrayRef, AsArray, Float64Array, UInt64Array};
use arrow::compute::cast;
use arrow::datatypes::{DataType, Float64Type, Int64Type};
use datafusion::common::ScalarValue;
use datafusion::error::Result;
use datafusion::logical_expr::{
    ColumnarValue, ScalarFunctionArgs, ScalarUDF, ScalarUDFImpl, Signature, Volatility,
};
use marquetry_kernels::{Scaling, draw_of_integer, draw_of_text};

use super::arguments::{arrays, wrong};

/// See [`super::LN_1P`].
pub(super) fn ln_1p() -> Arc<ScalarUDF> {
    function(
        "marquetry_ln_1p",
        1,
        DataType::Float64,
        |name, args, rows| {
            let numbers = numbers(name, args, rows)?;
            let logarithm = numbers.unary::<_, Float64Type>(|number| Scaling::Log1p.apply(number));
            Ok(Arc::new(logarithm))
        },
    )
}

/// See [`super::ORDER_KEY`].
pub(super) fn order_key() -> Arc<ScalarUDF> {
    function(
        "marquetry_order_key",
        1,
        DataType::UInt64,
        |name, args, rows| {
            let numbers = numbers(name, args, rows)?;
            let keys = numbers
                .iter()
                .map(|it| it.map(marquetry_kernels::order_key));
            Ok(Arc::new(keys.collect::<UInt64Array>()))
        },
    )
}

/// See [`super::DRAW`].
pub(super) fn draw() -> Arc<ScalarUDF> {
    function("marquetry_draw", 2, DataType::UInt64, |name, args, rows| {
        let what = "a literal seed, and whole numbers or texts";
        let (Some(ColumnarValue::Scalar(ScalarValue::UInt64(Some(seed)))), Some(keys)) =
            (args.first(), args.get(1..))
        else {
            return Err(wrong(name, what));
        };
        let arrays = arrays(keys, rows)?;
        let keys = arrays.first().ok_or_else(|| wrong(name, what))?;
        let draws: UInt64Array = match keys.as_primitive_opt::<Int64Type>() {
            Some(keys) => {
                let keys = keys.iter();
                keys.map(|key| key.map(|key| draw_of_integer(*seed, key)))
                    .collect()
            }
            None => {
                let texts = cast(keys, &DataType::Utf8)?;
                let texts = texts.as_string_opt::<i32>();
                let texts = texts.ok_or_else(|| wrong(name, what))?.iter();
                texts
                    .map(|key| key.map(|key| draw_of_text(*seed, key)))
                    .collect()
            }
        };
        Ok(Arc::new(draws))
    })
}

fn numbers(name: &str, arguments: &[ColumnarValue], rows: usize) -> Result<Float64Array> {
    let arrays = arrays(arguments, rows)?;
    let numbers = arrays.first().and_then(|array| array.as_primitive_opt());
    numbers.cloned().ok_or_else(|| wrong(name, "floats"))
}

/// What a function does: its name for errors, its arguments, and how many rows they have.
type Work = fn(&str, &[ColumnarValue], usize) -> Result<ArrayRef>;

fn function(name: &'static str, arguments: usize, gives: DataType, work: Work) -> Arc<ScalarUDF> {
    Arc::new(ScalarUDF::from(OfNumbers {
        name,
        signature: Signature::any(arguments, Volatility::Immutable),
        gives,
        work: Given(work),
    }))
}

#[derive(Debug, PartialEq, Eq, Hash)]
struct OfNumbers {
    name: &'static str,
    signature: Signature,
    gives: DataType,
    work: Given,
}

/// What is done follows from the name, by which functions are compared.
#[derive(Debug)]
struct Given(Work);

impl PartialEq for Given {
    fn eq(&self, _: &Self) -> bool {
        true
    }
}

impl Eq for Given {}

impl std::hash::Hash for Given {
    fn hash<H: std::hash::Hasher>(&self, _: &mut H) {}
}

impl ScalarUDFImpl for OfNumbers {
    fn name(&self) -> &str {
        self.name
    }

    fn signature(&self) -> &Signature {
        &self.signature
    }

    fn return_type(&self, _: &[DataType]) -> Result<DataType> {
        Ok(self.gives.clone())
    }

    fn invoke_with_args(&self, call: ScalarFunctionArgs) -> Result<ColumnarValue> {
        let Given(work) = self.work;
        work(self.name, &call.args, call.number_rows).map(ColumnarValue::Array)
    }
}
