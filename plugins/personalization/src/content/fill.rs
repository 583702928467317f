//! Templates filled for some customers.

use std::collections::{BTreeSet, HashMap};
use std::sync::Arc;

use marquetry_plugin::StageError;
use marquetry_rows::Keys;
use marquetry_script::Columns;
use minijinja::{Environment, ErrorKind, Value};

use super::fields::{Fields, value};
use super::options::{ContentOptions, Missing};
use super::templates::{Entry, Templates};

/// A message to a customer.
#[derive(Debug)]
pub(super) struct Message {
    /// The row of the customer.
    pub(super) row: usize,
    /// The template, by its number.
    pub(super) entry: usize,
    pub(super) subject: Option<String>,
    pub(super) body: String,
}

/// What came of some customers.
#[derive(Debug, Default)]
pub(super) struct Filled {
    pub(super) messages: Vec<Message>,
    /// Rows and the fields, by number, that they lack.
    pub(super) missing: Vec<(usize, usize)>,
    /// How many messages were left out for what they lack.
    pub(super) skipped: u64,
    /// How many customers have no template at all.
    pub(super) without_template: u64,
    /// For each field how many customers lack it and have nothing in its stead.
    pub(super) lacking: Vec<u64>,
}

/// Fills templates, row by row.
pub(super) struct Filler<'a> {
    templates: &'a Templates,
    environment: Environment<'static>,
    names: Arc<[String]>,
    fallback: Vec<Option<Value>>,
    missing: Missing,
    /// For each channel, in the order of the options: the template by segment, and that of all others.
    channels: Vec<(HashMap<&'a str, usize>, Option<usize>)>,
}

impl<'a> Filler<'a> {
    pub(super) fn new(
        templates: &'a Templates,
        options: &ContentOptions,
    ) -> Result<Self, StageError> {
        let names: Arc<[String]> = templates.fields.clone().into();
        let of_field = |name: &String| options.fallback.get(name).and_then(plain);
        let fallback = names.iter().map(of_field).collect();
        let mut order: Vec<&str> = Vec::new();
        let mut channels: Vec<(HashMap<&str, usize>, Option<usize>)> = Vec::new();
        for (number, entry) in templates.entries.iter().enumerate() {
            let channel = match order.iter().position(|name| *name == entry.channel) {
                Some(channel) => channel,
                None => {
                    order.push(&entry.channel);
                    channels.push((HashMap::new(), None));
                    order.len() - 1
                }
            };
            match &entry.segment {
                Some(segment) => {
                    channels[channel].0.insert(segment, number);
                }
                None => channels[channel].1 = Some(number),
            }
        }
        Ok(Self {
            templates,
            environment: templates.environment()?,
            names,
            fallback,
            missing: options.missing,
            channels,
        })
    }

    /// The messages of all rows. `cells` has the fields in the order of the templates' list; `segments` one
    /// for each row.
    pub(super) fn all(
        &self,
        cells: &dyn Columns,
        segments: &[Option<String>],
        keys: &Keys,
    ) -> Result<Filled, StageError> {
        let mut filled = Filled {
            lacking: vec![0; self.names.len()],
            ..Filled::default()
        };
        for (row, segment) in segments.iter().enumerate() {
            let of_customer = self.channels.iter().filter_map(|(by_segment, other)| {
                let own = segment.as_deref().and_then(|name| by_segment.get(name));
                own.copied().or(*other)
            });
            let of_customer: Vec<usize> = of_customer.collect();
            filled.without_template += u64::from(of_customer.is_empty());
            let values = (0..self.names.len()).map(|field| value(cells.cell(field, row)));
            let values: Vec<Option<Value>> = values.collect();
            let mut lacking = BTreeSet::new();
            for number in of_customer {
                let entry = &self.templates.entries[number];
                match self.message(entry, values.clone(), &mut lacking, keys, row)? {
                    Some((subject, body)) => filled.messages.push(Message {
                        row,
                        entry: number,
                        subject,
                        body,
                    }),
                    None => filled.skipped += 1,
                }
            }
            for field in lacking {
                filled.missing.push((row, field));
                if self.stand_in(field).is_none() {
                    filled.lacking[field] += 1;
                }
            }
        }
        Ok(filled)
    }

    fn stand_in(&self, field: usize) -> Option<&Value> {
        match self.missing {
            Missing::Fallback => self.fallback[field].as_ref(),
            Missing::Fail | Missing::Skip => None,
        }
    }

    /// Subject and body; none where they lack a field that nothing stands in for.
    fn message(
        &self,
        entry: &Entry,
        mut values: Vec<Option<Value>>,
        lacking: &mut BTreeSet<usize>,
        keys: &Keys,
        row: usize,
    ) -> Result<Option<(Option<String>, String)>, StageError> {
        let subject = match entry.subject {
            Some(source) => Some(self.text(source, &mut values, lacking, keys, row)?),
            None => None,
        };
        let body = self.text(entry.body, &mut values, lacking, keys, row)?;
        Ok(match (subject, body) {
            (None, Some(body)) => Some((None, body)),
            (Some(Some(subject)), Some(body)) => {
                // A line break would end the header that a subject is sent in.
                let words: Vec<&str> = subject.split_whitespace().collect();
                Some((Some(words.join(" ")), body))
            }
            _ => None,
        })
    }

    /// A text; none where it lacks a field that nothing stands in for. All that it lacks is found: an
    /// empty text stands in for what is lacking, and the text is made once more.
    fn text(
        &self,
        source: usize,
        values: &mut [Option<Value>],
        lacking: &mut BTreeSet<usize>,
        keys: &Keys,
        row: usize,
    ) -> Result<Option<String>, StageError> {
        let failed = |error| self.templates.failed(source, &error, &keys.shown(row));
        let template = self.environment.get_template(self.templates.name(source));
        let template = template.map_err(failed)?;
        let mut is_whole = true;
        loop {
            let fields = Arc::new(Fields::new(Arc::clone(&self.names), values.to_vec()));
            match template.render(Value::from_dyn_object(Arc::clone(&fields))) {
                Ok(text) => return Ok(is_whole.then_some(text)),
                Err(error) => {
                    let may_lack = matches!(
                        error.kind(),
                        ErrorKind::UndefinedError | ErrorKind::InvalidOperation
                    );
                    match fields.asked().filter(|_| may_lack) {
                        Some(field) => {
                            lacking.insert(field);
                            let value = self.stand_in(field).cloned();
                            is_whole &= value.is_some();
                            values[field] = Some(value.unwrap_or_else(|| Value::from("")));
                        }
                        // What fails on the empty text is no fault of the template.
                        None if !is_whole && may_lack => return Ok(None),
                        None => return Err(failed(error)),
                    }
                }
            }
        }
    }
}

/// A value of the options as a template sees it.
fn plain(value: &serde_json::Value) -> Option<Value> {
    match value {
        serde_json::Value::String(text) => Some(Value::from(text.as_str())),
        serde_json::Value::Bool(truth) => Some(Value::from(*truth)),
        serde_json::Value::Number(number) => number
            .as_i64()
            .map(Value::from)
            .or_else(|| number.as_f64().map(Value::from)),
        _ => None,
    }
}
