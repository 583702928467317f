//! What happens to each column, worked out once before the first row: from the options, and from the
//! columns that the files have where the options leave that open.

use std::collections::HashSet;
use std::sync::Arc;

use arrow::datatypes::{DataType, Field, Schema, SchemaRef};
use marquetry_types::{Diagnostic, codes};
use serde_json::Value;

use crate::cell::{Converted, arrow_type};
use crate::options::{ColumnSpec, ColumnType, FilesOptions, OtherColumns};
use crate::parquet_cells::column_type_of;
use crate::record::RecordLayout;
use crate::rule::Rule;

/// A column that the files have.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct FoundColumn {
    pub(crate) name: String,
    pub(crate) kind: FoundType,
}

/// The type that a column of the files has.
#[derive(Debug, Clone, PartialEq)]
pub(crate) enum FoundType {
    /// What all its values fit, in a text format.
    Inferred(ColumnType),
    /// What a Parquet schema says.
    Arrow(DataType),
}

/// What happens to each column of the output.
#[derive(Debug)]
pub(crate) struct Plan {
    pub(crate) columns: Vec<PlannedColumn>,
    pub(crate) schema: SchemaRef,
}

/// A column of the output.
#[derive(Debug)]
pub(crate) struct PlannedColumn {
    pub(crate) name: String,
    pub(crate) action: Action,
}

/// Where a column's values come from.
#[derive(Debug)]
pub(crate) enum Action {
    /// The same value in every row.
    Constant {
        value: Converted<'static>,
        kind: ColumnType,
    },
    /// A column of the files, cell by cell.
    Convert { from: String, rule: Box<Rule> },
    /// A Parquet column as it is.
    Copy {
        from: String,
        data_type: DataType,
        not_null: bool,
    },
}

impl PlannedColumn {
    /// The column of the files that it reads.
    pub(crate) fn from(&self) -> Option<&str> {
        match &self.action {
            Action::Constant { .. } => None,
            Action::Convert { from, .. } | Action::Copy { from, .. } => Some(from),
        }
    }
}

/// How the records of one file fill the columns of a plan.
#[derive(Debug)]
pub(crate) struct Binding {
    pub(crate) layout: RecordLayout,
    /// The file's columns, by slot.
    pub(crate) names: Vec<String>,
    /// The slot of each planned column; none for constants.
    pub(crate) slots: Vec<Option<usize>>,
}

impl Plan {
    /// The plan of an output without columns, to begin with.
    pub(crate) fn empty() -> Self {
        Self {
            columns: Vec::new(),
            schema: Arc::new(Schema::empty()),
        }
    }

    /// Works out the plan. `found` holds the columns of the files where they are known: always for
    /// Parquet, else where [`needs_found_columns`] says so.
    ///
    /// # Errors
    ///
    /// `MQ0113` for options that contradict each other, `MQ0403` for columns that the files lack.
    pub(crate) fn new(
        options: &FilesOptions,
        found: Option<&[FoundColumn]>,
    ) -> Result<Self, Diagnostic> {
        let mut columns = Vec::new();
        for (name, option) in &options.columns {
            let action = plan_column(name, &option.0, &options.null_values, found)?;
            columns.push(PlannedColumn {
                name: name.clone(),
                action,
            });
        }
        if keeps_others(options) {
            let named: HashSet<String> = columns
                .iter()
                .flat_map(|column| [Some(column.name.clone()), column.from().map(str::to_owned)])
                .flatten()
                .collect();
            for other in found.unwrap_or_default() {
                if !named.contains(&other.name) {
                    let action = plan_other(other, &options.null_values);
                    columns.push(PlannedColumn {
                        name: other.name.clone(),
                        action,
                    });
                }
            }
        }
        let fields: Vec<_> = columns
            .iter()
            .map(|column| {
                let data_type = match &column.action {
                    Action::Constant { kind, .. } => arrow_type(*kind),
                    Action::Convert { rule, .. } => arrow_type(rule.kind()),
                    Action::Copy { data_type, .. } => data_type.clone(),
                };
                Field::new(&column.name, data_type, true)
            })
            .collect();
        let plan = Self {
            columns,
            schema: Arc::new(Schema::new(fields)),
        };
        for key in &options.unique {
            plan.index_of(key, "unique")?;
        }
        if let Some(deduplicate) = &options.deduplicate {
            for key in &deduplicate.keys {
                plan.index_of(key, "deduplicate.keys")?;
            }
            if let Some(order) = &deduplicate.order_by {
                plan.index_of(order, "deduplicate.order_by")?;
            }
        }
        Ok(plan)
    }

    /// The place of a column of the output that an option names.
    ///
    /// # Errors
    ///
    /// `MQ0113` if there is none.
    pub(crate) fn index_of(&self, name: &str, option: &str) -> Result<usize, Diagnostic> {
        let names: Vec<&str> = self
            .columns
            .iter()
            .map(|column| column.name.as_str())
            .collect();
        names
            .iter()
            .position(|column| *column == name)
            .ok_or_else(|| {
                let message =
                    format!("`{option}` names `{name}`, which is no column of the output");
                Diagnostic::new(codes::STAGE_OPTIONS, message).help(advise(name, &names))
            })
    }

    /// Finds the planned columns among a file's columns.
    ///
    /// # Errors
    ///
    /// `MQ0403` if the file lacks one, or has it twice.
    pub(crate) fn bind(
        &self,
        file: &str,
        layout: RecordLayout,
        names: Vec<String>,
    ) -> Result<Binding, Diagnostic> {
        let mut slots = Vec::with_capacity(self.columns.len());
        for column in &self.columns {
            let Some(from) = column.from() else {
                slots.push(None);
                continue;
            };
            let mut places = names.iter().enumerate().filter(|(_, name)| *name == from);
            let Some((slot, _)) = places.next() else {
                return Err(missing_column(file, from, &names));
            };
            if places.next().is_some() {
                let message = format!(
                    "{file} has the column `{from}` twice, so it is unclear which is meant"
                );
                return Err(Diagnostic::new(codes::COLUMN_MISMATCH, message)
                    .help("give the columns distinct names in the header, or read without `columns` naming it"));
            }
            slots.push(Some(slot));
        }
        Ok(Binding {
            layout,
            names,
            slots,
        })
    }

    /// Checks that the Parquet columns that are copied have the type that the plan promises.
    ///
    /// # Errors
    ///
    /// `MQ0403` if one has another type.
    pub(crate) fn check_copies(&self, file: &str, schema: &Schema) -> Result<(), Diagnostic> {
        for column in &self.columns {
            let Action::Copy {
                from, data_type, ..
            } = &column.action
            else {
                continue;
            };
            let Ok(field) = schema.field_with_name(from) else {
                continue;
            };
            if field.data_type() != data_type {
                let message = format!(
                    "{file} has the column `{from}` as {}, and the first file as {data_type}",
                    field.data_type()
                );
                return Err(
                    Diagnostic::new(codes::COLUMN_MISMATCH, message).help(format!(
                        "say which type it should have: `columns: {{ {}: … }}`",
                        column.name
                    )),
                );
            }
        }
        Ok(())
    }

    /// The columns of the files that this plan reads, each once, in order.
    pub(crate) fn inputs(&self) -> Vec<String> {
        let mut inputs: Vec<String> = Vec::new();
        for from in self.columns.iter().filter_map(PlannedColumn::from) {
            if !inputs.iter().any(|input| input == from) {
                inputs.push(from.to_owned());
            }
        }
        inputs
    }
}

/// Whether columns that the options do not name are taken.
pub(crate) fn keeps_others(options: &FilesOptions) -> bool {
    options.columns.is_empty() || options.other_columns == OtherColumns::Keep
}

/// Whether a plan for a text format needs to know the columns of the files, and their types.
/// `types_its_values` is true of NDJSON, whose untyped columns keep the types they have.
pub(crate) fn needs_found_columns(options: &FilesOptions, types_its_values: bool) -> bool {
    let has_untyped = options
        .columns
        .values()
        .any(|column| column.0.kind.is_none() && column.0.value.is_none());
    keeps_others(options) || (types_its_values && has_untyped)
}

/// `MQ0403` for a column that a file does not have.
pub(crate) fn missing_column(file: &str, name: &str, names: &[String]) -> Diagnostic {
    let shown: Vec<_> = names.iter().take(30).map(String::as_str).collect();
    let more = if names.len() > shown.len() {
        ", …"
    } else {
        ""
    };
    let message = format!(
        "{file} has no column `{name}`; it has {}{more}",
        shown.join(", ")
    );
    let names: Vec<&str> = names.iter().map(String::as_str).collect();
    Diagnostic::new(codes::COLUMN_MISMATCH, message).help(advise(name, &names))
}

fn plan_column(
    name: &str,
    spec: &ColumnSpec,
    null_values: &[String],
    found: Option<&[FoundColumn]>,
) -> Result<Action, Diagnostic> {
    let refuse = |why: String| {
        Diagnostic::new(codes::STAGE_OPTIONS, format!("column `{name}`: {why}"))
            .help("`marquetry stages show ingest/files` says what a column takes")
    };
    if let Some(value) = &spec.value {
        return plan_constant(spec, value).map_err(refuse);
    }
    let from = spec.from.clone().unwrap_or_else(|| name.to_owned());
    let found_type = match found {
        None => None,
        Some(found) => match found.iter().find(|column| column.name == from) {
            Some(column) => Some(&column.kind),
            None => {
                let names: Vec<_> = found.iter().map(|column| column.name.clone()).collect();
                return Err(missing_column("the input", &from, &names));
            }
        },
    };
    let (file_type, default_kind) = match found_type {
        Some(FoundType::Arrow(data_type)) => (Some(data_type), column_type_of(data_type)),
        Some(FoundType::Inferred(kind)) => (None, Some(*kind)),
        None => (None, Some(ColumnType::String)),
    };
    let only_not_null = ColumnSpec {
        not_null: false,
        ..spec.clone()
    };
    if let (Some(data_type), None) = (file_type, spec.kind)
        && has_no_contract(&only_not_null)
    {
        return Ok(Action::Copy {
            from,
            data_type: data_type.clone(),
            not_null: spec.not_null,
        });
    }
    let Some(kind) = spec.kind.or(default_kind) else {
        let shown = file_type.map(ToString::to_string).unwrap_or_default();
        return Err(refuse(format!(
            "values of type {shown} can be kept, but not converted or checked"
        )));
    };
    let rule = Rule::new(spec, kind, null_values).map_err(refuse)?;
    if let Some(data_type) = file_type {
        let unchecked = Rule::new(&only_not_null, kind, null_values).map_err(refuse)?;
        if *data_type == arrow_type(kind) && unchecked.is_plain() {
            return Ok(Action::Copy {
                from,
                data_type: data_type.clone(),
                not_null: spec.not_null,
            });
        }
        if column_type_of(data_type).is_none() {
            return Err(refuse(format!(
                "values of type {data_type} cannot be read as {}",
                kind.name()
            )));
        }
    }
    Ok(Action::Convert {
        from,
        rule: Box::new(rule),
    })
}

/// Whether a block says nothing but where the column comes from.
fn has_no_contract(spec: &ColumnSpec) -> bool {
    let ColumnSpec {
        min,
        max,
        allowed,
        pattern,
        default,
        not_null,
        trim,
        ..
    } = spec;
    let is_checked = min.is_some() || max.is_some() || allowed.is_some() || pattern.is_some();
    !is_checked && default.is_none() && !not_null && !trim && spec.null_values.is_none()
}

fn plan_constant(spec: &ColumnSpec, value: &Value) -> Result<Action, String> {
    if spec.from.is_some() || !has_no_contract(spec) {
        return Err(
            "`value` is a constant: nothing is read or checked, so it stands alone or with `type`"
                .to_owned(),
        );
    }
    let kind = spec.kind.unwrap_or(match value {
        Value::Bool(_) => ColumnType::Bool,
        Value::Number(number) if number.is_i64() => ColumnType::Int64,
        Value::Number(_) => ColumnType::Float64,
        _ => ColumnType::String,
    });
    let rule = Rule::new(
        &ColumnSpec {
            value: None,
            ..spec.clone()
        },
        kind,
        &[],
    )?;
    Ok(Action::Constant {
        value: rule.constant("value", value)?,
        kind,
    })
}

fn plan_other(column: &FoundColumn, null_values: &[String]) -> Action {
    let from = column.name.clone();
    match &column.kind {
        FoundType::Inferred(kind) => Action::Convert {
            from,
            rule: Box::new(Rule::plain(*kind, null_values)),
        },
        FoundType::Arrow(data_type) => Action::Copy {
            from,
            data_type: data_type.clone(),
            not_null: false,
        },
    }
}

/// What to write instead of a name that there is none of.
fn advise(name: &str, names: &[&str]) -> String {
    let lowered = name.to_lowercase();
    let closest = names
        .iter()
        .map(|other| {
            (
                strsim::normalized_damerau_levenshtein(&lowered, &other.to_lowercase()),
                other,
            )
        })
        .filter(|(likeness, _)| *likeness >= 0.5)
        .max_by(|(left, _), (right, _)| left.total_cmp(right));
    match closest {
        Some((_, other)) => format!("did you mean `{other}`? `from` says the column of the file"),
        None => {
            "`from` says the column of the file; `marquetry stages show ingest/files`".to_owned()
        }
    }
}

#[cfg(test)]
mod tests {
    #![expect(clippy::unwrap_used, reason = "tests")]

    use super::*;
    use serde_json::json;

    fn options(columns: Value) -> FilesOptions {
        serde_json::from_value(json!({ "path": "x", "columns": columns })).unwrap()
    }

    fn names(names: &[&str]) -> Vec<String> {
        names.iter().map(|name| (*name).to_owned()).collect()
    }

    fn csv(fields: usize) -> RecordLayout {
        RecordLayout::Csv {
            delimiter: b',',
            quote: b'"',
            fields,
        }
    }

    #[test]
    fn columns_are_found_by_name_in_any_order() {
        let plan = Plan::new(
            &options(json!({ "id": { "from": "ID" }, "shop": { "value": 3 }, "ts": "date" })),
            None,
        )
        .unwrap();
        let binding = plan
            .bind("a.csv", csv(3), names(&["ts", "x", "ID"]))
            .unwrap();
        assert_eq!(binding.slots, [Some(2), None, Some(0)]);
        assert_eq!(plan.schema.field(1).data_type(), &DataType::Int64);
        assert_eq!(plan.inputs(), ["ID", "ts"]);
    }

    #[test]
    fn a_missing_column_is_named_with_what_is_there() {
        let plan = Plan::new(&options(json!({ "CustomerId": "int64" })), None).unwrap();
        let error = plan
            .bind("a.csv", csv(2), names(&["InvoiceNo", "CustomerID"]))
            .unwrap_err();
        assert_eq!(error.code, codes::COLUMN_MISMATCH);
        assert_eq!(
            error.message,
            "a.csv has no column `CustomerId`; it has InvoiceNo, CustomerID"
        );
        assert!(error.help.unwrap().contains("did you mean `CustomerID`?"));
        let twice = Plan::new(&options(json!({ "a": "int64" })), None).unwrap();
        let error = twice.bind("a.csv", csv(2), names(&["a", "a"])).unwrap_err();
        assert!(error.message.contains("twice"), "{error}");
    }

    #[test]
    fn parquet_columns_of_the_right_type_are_copied() {
        let found = [
            FoundColumn {
                name: "id".into(),
                kind: FoundType::Arrow(DataType::Int64),
            },
            FoundColumn {
                name: "price".into(),
                kind: FoundType::Arrow(DataType::Float32),
            },
            FoundColumn {
                name: "blob".into(),
                kind: FoundType::Arrow(DataType::Binary),
            },
        ];
        let plan = |columns| Plan::new(&options(columns), Some(&found));
        let copied = plan(json!({ "id": "int64", "price": "float64", "blob": {} })).unwrap();
        assert!(matches!(copied.columns[0].action, Action::Copy { .. }));
        assert!(matches!(copied.columns[1].action, Action::Convert { .. }));
        assert!(matches!(copied.columns[2].action, Action::Copy { .. }));
        let refused = plan(json!({ "blob": "int64" })).unwrap_err();
        assert!(
            refused.message.contains("Binary cannot be read as int64"),
            "{refused}"
        );
    }

    #[test]
    fn options_that_contradict_each_other_are_refused() {
        let constant =
            Plan::new(&options(json!({ "a": { "value": 1, "from": "b" } })), None).unwrap_err();
        assert!(
            constant.message.contains("`value` is a constant"),
            "{constant}"
        );
        let mut keyed = options(json!({ "id": "int64" }));
        keyed.unique = names(&["ids"]);
        let unknown = Plan::new(&keyed, None).unwrap_err();
        assert!(
            unknown.message.contains("`unique` names `ids`"),
            "{unknown}"
        );
        assert_eq!(unknown.code, codes::STAGE_OPTIONS);
    }
}
