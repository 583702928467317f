//! Every broken workflow of `tests/broken-workflows`, and what a person is told about it: file, line
//! and column, what is wrong, and what instead.

#![expect(clippy::unwrap_used, clippy::panic, reason = "tests")]

mod catalogue;

use std::fmt::Write;
use std::path::{Path, PathBuf};

use marquetry_types::{Diagnostics, codes};
use marquetry_workflow::{parse, render};

fn problems(file: &str, text: &str) -> Option<Diagnostics> {
    parse(file, text, &catalogue::catalogue(), &catalogue::read_file).err()
}

fn files() -> Vec<PathBuf> {
    let folder = Path::new(&std::env::var_os("CARGO_MANIFEST_DIR").unwrap())
        .join("../../tests/broken-workflows");
    let mut files: Vec<PathBuf> = std::fs::read_dir(folder)
        .unwrap()
        .map(|entry| entry.unwrap().path())
        .filter(|path| {
            path.extension()
                .is_some_and(|extension| extension == "yaml")
        })
        .collect();
    files.sort();
    files
}

#[test]
fn each_broken_workflow_has_its_message() {
    let files = files();
    assert!(files.len() >= 48, "only {} files", files.len());
    for path in files {
        let text = std::fs::read_to_string(&path).unwrap();
        let name = path.file_name().unwrap().to_str().unwrap();
        let problems = problems(name, &text);
        let problems = problems.unwrap_or_else(|| panic!("{name} is no broken workflow"));
        for problem in &problems.0 {
            let location = problem.location.as_ref();
            assert!(
                location.is_some_and(|at| at.file == name && at.line > 0),
                "{name}: {problem}"
            );
            let help = problem.help.as_deref().unwrap_or_default();
            assert!(!help.is_empty(), "{name}: no advice: {problem}");
            assert!(
                !problem.message.ends_with('.') && !help.ends_with('.'),
                "{name}: {problem}"
            );
        }
        assert_eq!(problems.0.len(), 1, "{name} has one fault: {problems}");
        let rendered = render(&problems, Some(&text), false);
        insta::with_settings!({prepend_module_to_snapshot => false, omit_expression => true}, {
            insta::assert_snapshot!(name.trim_end_matches(".yaml"), rendered);
        });
    }
}

/// The one problem of a generated text, on one line.
fn only_problem(text: &str) -> String {
    let problems = problems("big.yaml", text).unwrap();
    assert_eq!(problems.0.len(), 1, "{problems}");
    problems.to_string()
}

#[test]
fn a_file_of_ten_megabytes_is_refused_before_it_is_read() {
    let line = "# a remark that says nothing\n";
    let text = line.repeat(10_000_000 / line.len() + 1);
    assert_eq!(
        only_problem(&text),
        "big.yaml:1:1: the file has 10.0 MB, and a workflow file may have 1 MB [MQ0102]; help: \
         move SQL and scripts into files of their own and name them; data never stands here"
    );
}

#[test]
fn deep_nesting_is_refused_in_every_style() {
    let flow = format!("marquetry: v1\nname: {}", "[".repeat(100_000));
    let maps = format!("marquetry: v1\nname: {}", "{a: ".repeat(100_000));
    let mut block = String::new();
    for depth in 0..700 {
        let _ = writeln!(block, "{}a:", " ".repeat(depth));
    }
    for text in [flow, maps, block, "- ".repeat(100_000)] {
        let problem = only_problem(&text);
        assert!(
            problem.contains("nested more than 64 levels deep [MQ0102]"),
            "{problem}"
        );
    }
}

#[test]
fn an_alias_bomb_is_refused_before_it_goes_off() {
    let mut text = "a0: &a0 [x, x, x, x, x, x, x, x, x, x]\n".to_owned();
    for level in 1..30 {
        let before = level - 1;
        let aliases = vec![format!("*a{before}"); 10].join(", ");
        let _ = writeln!(text, "a{level}: &a{level} [{aliases}]");
    }
    let problem = only_problem(&text);
    assert!(
        problem.contains("more than 300000 values, counting those that aliases stand for [MQ0102]"),
        "{problem}"
    );
    assert!(problem.starts_with("big.yaml:6:"), "{problem}");
}

#[test]
fn of_many_errors_the_first_are_told_and_the_rest_is_counted() {
    let mut text = "marquetry: v1\nname: n\nstages:\n".to_owned();
    for index in 0..20_000 {
        let _ = writeln!(
            text,
            "  s{index}: {{uses: a/b, with: {{a: \"${{{{ stages.x }}}}\"}}}}"
        );
    }
    let problems = problems("big.yaml", &text).unwrap();
    assert_eq!(problems.0.len(), 51);
    let last = problems.0.last().unwrap();
    assert_eq!(last.message, "at least 39950 more errors are not shown");
    assert_eq!(problems.0[0].code, codes::UNKNOWN_STAGE_KIND);
}

/// Each of these has very many values, references or errors: reading one takes
/// less than a second, or, were the time not linear, this test would not end.
#[test]
fn files_of_very_many_values_are_answered() {
    let head =
        "marquetry: v1\nname: n\nstages:\n  a:\n    uses: ingest/files\n    with: { path: data, ";
    let filled = |piece: &str| piece.repeat(300_000 / piece.len());
    let texts = [
        format!("{head}unique: [{}] }}\n", filled("x,")),
        format!("{head}unique: [{}] }}\n", filled("11111,")),
        format!("{head}unique: [{}] }}\n", filled("\"${{ x }}\",")),
        format!("{head}unique: [{}] }}\n", filled("\"${{ stages.a }}\",")),
        format!("{head}unique: [{}] }}\n", filled("\"${{ run.id }}\",")),
        format!("{head}unique: [\"{}\"] }}\n", filled("${{ run.id }}")),
        format!("{head}unique: [\"{}\"] }}\n", filled("\\n")),
        format!("{head}unique: [&a [x], {}] }}\n", filled("*a,")),
        format!("# {}", filled("x")),
        filled("\n"),
        filled("a\n"),
        filled("- x\n"),
        filled("&a "),
        filled("? "),
        filled("!a "),
        filled("\""),
    ];
    for text in &texts {
        let problems = problems("wide.yaml", text);
        if let Some(problems) = problems {
            assert!(render(&problems, Some(text), false).len() < 50_000);
        }
    }
}

#[test]
fn several_errors_are_told_together_in_the_order_of_the_file() {
    let text = "marquetry: v1\nstages:\n  a:\n    uses: ingest/file\n    timeout: 3\n  b:\n    uses: \
                features/customer\n    with: { orders: \"${{ stages.c }}\" }\n";
    let problems = problems("many.yaml", text).unwrap();
    let lines: Vec<_> = problems
        .0
        .iter()
        .map(|p| p.location.as_ref().unwrap().line)
        .collect();
    assert_eq!(lines, [1, 4, 5, 8]);
}
