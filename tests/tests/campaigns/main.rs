//! The workflows on real campaigns give what pandas and NumPy compute from the same files
//! (`reference/campaigns.py`). Skipped where the data is not beside the repository.
#![expect(clippy::unwrap_used, reason = "tests")]

use std::path::{Path, PathBuf};
use std::sync::OnceLock;

use marquetry_tests::{Run, Table, computed, shared_data};
use tempfile::TempDir;

const POLICIES: &[&str] = &["policy", "estimator"];
const ARMS: &[&str] = &["segment", "action"];
const SEGMENTS: &[&str] = &["segment"];

/// The folder of the data, and what was computed from it.
struct Reference {
    data: PathBuf,
    results: TempDir,
}

impl Reference {
    /// None where the data is not there.
    fn get() -> Option<&'static Self> {
        static RESULTS: OnceLock<Option<Reference>> = OnceLock::new();
        let compute = || {
            shared_data("open_bandit")?;
            let file = shared_data("hillstrom.csv")?;
            let data = file.parent().unwrap().to_owned();
            let results = computed("campaigns.py", &data);
            Some(Self { data, results })
        };
        RESULTS.get_or_init(compute).as_ref()
    }

    fn table(&self, name: &str, key: &[&str]) -> Table {
        Table::read(&self.results.path().join(format!("{name}.parquet")), key)
    }

    fn setting(&self, param: &str, file: &str) -> String {
        format!("{param}={}", self.data.join(file).display())
    }
}

fn log(policy: &str) -> String {
    Path::new("open_bandit")
        .join(policy)
        .join("all.csv")
        .display()
        .to_string()
}

#[test]
fn visit_rates_of_the_email_experiment_are_the_published_ones() {
    let Some(reference) = Reference::get() else {
        return;
    };
    let customers = reference.setting("customers", "hillstrom.csv");
    let run = Run::of("workflows/email-experiment.yaml", &["--set", &customers]);
    let arms = run.table("visits/arms", ARMS);
    let names = arms.texts("action").into_iter().zip(arms.texts("segment"));
    let rates: Vec<(&str, f64)> = names
        .zip(arms.floats("mean_reward"))
        .filter(|((_, segment), _)| segment.is_none())
        .map(|((action, _), rate)| (action.unwrap(), rate.unwrap()))
        .collect();
    let published = [
        ("Mens E-Mail", 0.182_757),
        ("No E-Mail", 0.106_167),
        ("Womens E-Mail", 0.151_400),
    ];
    assert_eq!(rates.len(), published.len());
    for ((arm, rate), (wanted_arm, wanted)) in rates.into_iter().zip(published) {
        assert_eq!(arm, wanted_arm);
        assert!((rate - wanted).abs() < 1e-6, "{arm}: {rate}, not {wanted}");
    }
    assert_eq!(
        run.metric("visits", "decisions").to_bits(),
        64_000_f64.to_bits()
    );

    for stage in ["visits", "spending"] {
        run.table(stage, POLICIES)
            .assert_same(&reference.table(stage, POLICIES), stage);
        let arms = format!("{stage}_arms");
        run.table(&format!("{stage}/arms"), ARMS)
            .assert_same(&reference.table(&arms, ARMS), &arms);
        let best = format!("{stage}_best");
        run.table(&format!("{stage}/best"), SEGMENTS)
            .assert_same(&reference.table(&best, SEGMENTS), &best);
    }
    let report = run.report();
    assert!(
        report.contains("The best action of each segment"),
        "the report says what to send"
    );
}

#[test]
fn estimates_on_open_bandit_data_are_those_of_pandas() {
    let Some(reference) = Reference::get() else {
        return;
    };
    let settings = ["random", "bts"].map(|policy| reference.setting(policy, &log(policy)));
    let [random, bts] = &settings;
    let run = Run::of(
        "workflows/open-bandit.yaml",
        &["--set", random, "--set", bts],
    );
    for policy in ["random", "bts"] {
        let values = format!("{policy}_values");
        run.table(&values, POLICIES)
            .assert_same(&reference.table(&values, POLICIES), &values);
        run.table(&format!("{values}/arms"), ARMS)
            .assert_same(&reference.table(&format!("{policy}_arms"), ARMS), policy);
    }
}

#[test]
fn estimates_with_a_ridge_regression_and_clipped_weights_are_those_of_numpy() {
    let Some(reference) = Reference::get() else {
        return;
    };
    for policy in ["random", "bts"] {
        let file = reference.setting("log", &log(policy));
        let [one, two] = ["1", "2"].map(|threads| {
            let more = ["--set", &file, "--threads", threads];
            let run = Run::of("tests/reference/open_bandit.yaml", &more);
            run.table("values", POLICIES)
        });
        one.assert_same(
            &reference.table(&format!("{policy}_ridge"), POLICIES),
            policy,
        );
        two.assert_same(&one, policy);
    }
}
