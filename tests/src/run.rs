//! A workflow run by the real program, and what came of it.

use serde_json::Value;

use crate::{Place, Table, repository, said};

/// A run that succeeded, and the folder that holds its data.
#[derive(Debug)]
pub struct Run {
    /// Where it ran.
    pub place: Place,
    /// What the program said of it, as JSON.
    pub view: Value,
}

impl Run {
    /// Runs a workflow, by its path in the repository, with more arguments, in a place of its own.
    ///
    /// # Panics
    /// It does not succeed.
    #[must_use]
    pub fn of(workflow: &str, more: &[&str]) -> Self {
        Self::within(Place::new(), workflow, more)
    }

    /// The same in a place that is there already.
    ///
    /// # Panics
    /// It does not succeed.
    #[must_use]
    pub fn within(place: Place, workflow: &str, more: &[&str]) -> Self {
        let workflow = repository().join(workflow);
        let mut arguments = vec!["run", workflow.to_str().unwrap()];
        arguments.extend(more);
        let view = place.json(&arguments);
        assert_eq!(view["status"], "succeeded", "{view:#}");
        Self { place, view }
    }

    /// An output, by `STAGE` or `STAGE/OUTPUT`, its rows in the order of a key.
    ///
    /// # Panics
    /// There is none.
    #[must_use]
    pub fn table(&self, output: &str, key: &[&str]) -> Table {
        let dataset = format!("latest/{output}");
        let out = ["export", &dataset, "--format", "parquet", "--out", "table"];
        let exported = self.place.run(&out);
        assert!(exported.status.success(), "{output}: {}", said(&exported));
        Table::read(&self.place.path().join("table"), key)
    }

    /// A figure that a stage reported.
    ///
    /// # Panics
    /// There is none.
    #[must_use]
    pub fn metric(&self, stage: &str, name: &str) -> f64 {
        let stages = self.view["stages"].as_array().unwrap();
        let found = stages.iter().find(|it| it["name"] == stage);
        let metric = found.and_then(|stage| stage["metrics"][name].as_f64());
        metric.unwrap_or_else(|| panic!("stage `{stage}` has no metric `{name}`: {:#}", self.view))
    }

    /// The report.
    ///
    /// # Panics
    /// It cannot be made.
    #[must_use]
    pub fn report(&self) -> String {
        let report = self
            .place
            .run(&["report", "latest", "--out", "report.html"]);
        assert!(report.status.success(), "{}", said(&report));
        std::fs::read_to_string(self.place.path().join("report.html")).unwrap()
    }
}
