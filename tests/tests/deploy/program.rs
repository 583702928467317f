//! What the program says of its commands, flags and variables: `marquetry COMMAND --help`, read once for each.

use std::collections::{BTreeMap, BTreeSet};
use std::process::Command;
use std::sync::{Arc, Mutex, PoisonError};

use marquetry_tests::program;

/// Every variable of the program begins so.
pub(crate) const PREFIX: &str = "MARQUETRY_";

/// The program, asked.
#[derive(Debug)]
pub(crate) struct Program {
    /// As in `0.1.0`.
    pub(crate) version: String,
    helps: Mutex<BTreeMap<Vec<String>, Arc<Help>>>,
}

/// The help of a command.
#[derive(Debug, Default)]
pub(crate) struct Help {
    /// The commands below it.
    commands: BTreeSet<String>,
    /// By their names, with dashes; short and long.
    flags: BTreeMap<String, Flag>,
    /// Every variable that the text names.
    variables: BTreeSet<String>,
    takes_arguments: bool,
}

/// A flag.
#[derive(Debug, Default, Clone)]
pub(crate) struct Flag {
    /// What stands for its value, as in `FILE`; none if it takes none.
    pub(crate) value: Option<String>,
    pub(crate) variable: Option<String>,
    pub(crate) default: Option<String>,
}

/// A command line that the program would take.
#[derive(Debug)]
pub(crate) struct Call {
    /// As in `token new`.
    pub(crate) command: String,
    pub(crate) help: Arc<Help>,
    /// The values of flags, by their names.
    flags: BTreeMap<String, String>,
}

impl Program {
    pub(crate) fn new() -> Self {
        let said = output(&["--version".to_owned()]);
        let version = said.split_whitespace().last().unwrap_or_default();
        Self {
            version: version.to_owned(),
            helps: Mutex::default(),
        }
    }

    fn help(&self, command: &[String]) -> Arc<Help> {
        let mut helps = self.helps.lock().unwrap_or_else(PoisonError::into_inner);
        let help = helps.entry(command.to_vec()).or_insert_with(|| {
            let arguments: Vec<String> = command
                .iter()
                .cloned()
                .chain(["--help".to_owned()])
                .collect();
            Arc::new(Help::parse(&output(&arguments)))
        });
        Arc::clone(help)
    }

    /// Reads a command line without the program's name.
    ///
    /// # Errors
    /// What the program would not take of it.
    pub(crate) fn call(&self, words: &[String]) -> Result<Call, String> {
        let mut command: Vec<String> = Vec::new();
        let mut help = self.help(&command);
        let mut rest = words;
        while !help.commands.is_empty() {
            let shown = ["marquetry"]
                .into_iter()
                .chain(command.iter().map(String::as_str));
            let shown = shown.collect::<Vec<_>>().join(" ");
            let Some((first, more)) = rest.split_first() else {
                return Err(format!("`{shown}` alone does nothing"));
            };
            if !help.commands.contains(first) {
                // `tables` and `policies` do something without a command below them, and then take flags only.
                if first.starts_with('-') && !command.is_empty() {
                    break;
                }
                return Err(format!("there is no `{shown} {first}`"));
            }
            command.push(first.clone());
            help = self.help(&command);
            rest = more;
        }
        let mut call = Call {
            command: command.join(" "),
            help,
            flags: BTreeMap::new(),
        };
        let mut words = rest.iter();
        while let Some(word) = words.next() {
            if !word.starts_with('-') || word == "-" {
                if call.help.takes_arguments {
                    continue;
                }
                return Err(format!("`marquetry {}` takes no `{word}`", call.command));
            }
            let (name, given) = match word.split_once('=') {
                Some((name, value)) => (name, Some(value.to_owned())),
                None => (word.as_str(), None),
            };
            let Some(flag) = call.help.flags.get(name) else {
                return Err(format!("`marquetry {}` has no flag `{name}`", call.command));
            };
            let value = match (&flag.value, given) {
                (None, _) => String::new(),
                (Some(_), Some(value)) => value,
                (Some(_), None) => match words.next() {
                    Some(value) => value.clone(),
                    None => return Err(format!("`{name}` lacks its value")),
                },
            };
            call.flags.insert(name.to_owned(), value);
        }
        Ok(call)
    }

    /// Whether any command knows a variable.
    pub(crate) fn knows(&self, variable: &str) -> bool {
        let commands = self.help(&[]).commands.clone();
        let below = commands.iter().map(std::slice::from_ref);
        std::iter::once([].as_slice())
            .chain(below)
            .any(|command| self.help(command).variables.contains(variable))
    }
}

impl Call {
    /// What a flag is set to: on the command line, by its variable, or by default.
    pub(crate) fn setting(
        &self,
        flag: &str,
        variables: &BTreeMap<String, String>,
    ) -> Option<String> {
        let declared = self.help.flags.get(flag)?;
        let variable = declared.variable.as_ref();
        self.flags
            .get(flag)
            .or_else(|| variables.get(variable?))
            .or(declared.default.as_ref())
            .cloned()
    }
}

impl Help {
    /// Whether the command knows a variable.
    pub(crate) fn knows(&self, variable: &str) -> bool {
        self.variables.contains(variable)
    }

    /// The flags.
    pub(crate) fn flags(&self) -> impl Iterator<Item = (&str, &Flag)> {
        self.flags.iter().map(|(name, flag)| (name.as_str(), flag))
    }

    /// Reads what clap prints: sections, then names at their beginning and descriptions further in.
    fn parse(text: &str) -> Self {
        let mut help = Self {
            variables: names(text, PREFIX),
            ..Self::default()
        };
        let mut section = "";
        let mut names: Vec<String> = Vec::new();
        for line in text.lines() {
            let inner = line.trim_start();
            let indent = line.len() - inner.len();
            if indent == 0 {
                section = inner;
                continue;
            }
            if section.starts_with("Example") {
                continue;
            }
            if section == "Arguments:" {
                help.takes_arguments = true;
            } else if section == "Commands:" && indent == 2 {
                let name = inner.split(' ').next();
                // Clap's own, without flags.
                help.commands
                    .extend(name.filter(|&it| it != "help").map(str::to_owned));
            } else if indent < 10 && inner.starts_with('-') {
                names = inner
                    .split([' ', ','])
                    .filter(|word| word.starts_with('-'))
                    .map(str::to_owned)
                    .collect();
                let value = between(inner, "<", ">").map(str::to_owned);
                for name in &names {
                    let flag = Flag {
                        value: value.clone(),
                        ..Flag::default()
                    };
                    help.flags.insert(name.clone(), flag);
                }
            }
            let variable = between(inner, "[env: ", "]")
                .map(|it| it.split('=').next().unwrap_or(it).to_owned());
            let default = inner
                .strip_prefix("[default: ")
                .and_then(|it| it.strip_suffix(']'));
            for name in &names {
                let Some(flag) = help.flags.get_mut(name) else {
                    continue;
                };
                if variable.is_some() {
                    flag.variable.clone_from(&variable);
                }
                if let Some(default) = default {
                    flag.default = Some(default.to_owned());
                }
            }
        }
        help
    }
}

/// The variables that a text names, of those that begin in one way.
pub(crate) fn names(text: &str, prefix: &str) -> BTreeSet<String> {
    let is_part = |c: char| c.is_ascii_uppercase() || c.is_ascii_digit() || c == '_';
    text.split(|c: char| !is_part(c))
        .filter(|word| word.starts_with(prefix) && word.len() > prefix.len())
        .map(str::to_owned)
        .collect()
}

fn between<'text>(text: &'text str, open: &str, close: &str) -> Option<&'text str> {
    let (_, rest) = text.split_once(open)?;
    rest.split_once(close).map(|(inner, _)| inner)
}

fn output(arguments: &[String]) -> String {
    let mut command = Command::new(program());
    // What is set here would be shown in the help.
    for (name, _) in std::env::vars_os() {
        if name.to_string_lossy().starts_with(PREFIX) {
            command.env_remove(name);
        }
    }
    let output = command.args(arguments).output().unwrap();
    assert!(output.status.success(), "{arguments:?}: {output:?}");
    String::from_utf8(output.stdout).unwrap()
}
