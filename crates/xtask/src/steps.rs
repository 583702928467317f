//! A task is a row of steps, each a command: announced, timed, and summed up at the end.

use std::process::Command;
use std::time::{Duration, Instant};

/// The steps of a task that have ended.
#[derive(Debug, Default)]
pub(crate) struct Steps {
    done: Vec<(String, Duration)>,
}

impl Steps {
    /// Runs a step to its end with its output going where ours goes.
    pub(crate) fn run(&mut self, name: &str, command: &mut Command) -> Result<(), String> {
        println!("\n==> {name}: {}", shown(command));
        let start = Instant::now();
        let status = command.status().map_err(|error| {
            format!(
                "{name}: cannot start {}: {error}",
                command.get_program().display()
            )
        })?;
        let elapsed = start.elapsed();
        if !status.success() {
            return Err(format!(
                "{name} failed after {} ({status}); the command was: {}",
                seconds(elapsed),
                shown(command)
            ));
        }
        self.done.push((name.to_owned(), elapsed));
        Ok(())
    }

    /// `format 0.4 s, lints 81.2 s, tests 140.9 s`.
    pub(crate) fn summary(&self) -> String {
        let parts: Vec<_> = self
            .done
            .iter()
            .map(|(name, elapsed)| format!("{name} {}", seconds(*elapsed)))
            .collect();
        parts.join(", ")
    }
}

/// A duration as people read it here.
pub(crate) fn seconds(elapsed: Duration) -> String {
    format!("{:.1} s", elapsed.as_secs_f64())
}

/// The command as one would type it, with `cargo` for the path of cargo.
pub(crate) fn shown(command: &Command) -> String {
    let program = std::path::Path::new(command.get_program());
    let mut words = vec![
        program
            .file_stem()
            .unwrap_or_default()
            .to_string_lossy()
            .into_owned(),
    ];
    words.extend(
        command
            .get_args()
            .map(|argument| argument.to_string_lossy().into_owned()),
    );
    words.join(" ")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_failed_step_names_itself_and_its_command() {
        let mut command = crate::place::cargo(["no-such-subcommand"]);
        command.stderr(std::process::Stdio::null());
        let message = Steps::default().run("tests", &mut command);
        assert!(
            message
                .as_ref()
                .is_err_and(|text| text.starts_with("tests failed after")
                    && text.ends_with("cargo no-such-subcommand")),
            "{message:?}"
        );
    }
}
