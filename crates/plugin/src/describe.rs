//! Descriptors, made from the type of a stage's options.

use marquetry_types::{OutputDescriptor, StageDescriptor, StageKind};
use schemars::JsonSchema;
use schemars::generate::SchemaSettings;

/// Begins the descriptor of a stage kind whose `with` is read as `Options`. Doc comments of the type's
/// fields become the options' descriptions. The version grows when the same options and inputs would
/// give other outputs.
///
/// # Panics
/// `kind` is no `family/kind`: a mistake in the program that the first call shows.
#[expect(
    clippy::expect_used,
    reason = "a literal in the program, checked by the first call"
)]
pub fn describe<Options: JsonSchema>(kind: &str, version: u32, summary: &str) -> DescriptorBuilder {
    let kind: StageKind = kind.parse().expect("a stage kind is `family/kind`");
    let schema = SchemaSettings::draft2020_12()
        .into_generator()
        .into_root_schema_for::<Options>();
    DescriptorBuilder(StageDescriptor {
        kind,
        version,
        summary: summary.to_owned(),
        description: String::new(),
        options: schema.to_value(),
        outputs: Vec::new(),
        metrics: Vec::new(),
        example: String::new(),
        is_pure: false,
    })
}

/// A descriptor in the making.
#[derive(Debug, Clone)]
#[must_use]
pub struct DescriptorBuilder(StageDescriptor);

impl DescriptorBuilder {
    /// A paragraph or more: the algorithm, its cost, its source.
    pub fn description(mut self, text: &str) -> Self {
        text.clone_into(&mut self.0.description);
        self
    }

    /// An output dataset. The first one is what `${{ stages.NAME }}` means.
    pub fn output(mut self, name: &str, description: &str) -> Self {
        self.0
            .outputs
            .push(OutputDescriptor::new(name, description));
        self
    }

    /// A figure that it reports, with its unit.
    pub fn metric(mut self, name: &str, description: &str) -> Self {
        self.0
            .metrics
            .push(OutputDescriptor::new(name, description));
        self
    }

    /// Its outputs follow from its options, its inputs, the files that it names and its seed, and from
    /// nothing else: `cache: true` may use them again.
    pub const fn pure(mut self) -> Self {
        self.0.is_pure = true;
        self
    }

    /// A `with` block that works, as YAML.
    pub fn example(mut self, yaml: &str) -> Self {
        yaml.clone_into(&mut self.0.example);
        self
    }

    /// The descriptor.
    #[must_use]
    pub fn build(self) -> StageDescriptor {
        self.0
    }
}
