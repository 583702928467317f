//! What the page shows, whatever the data: structure, escaping, and data of every size.
#![expect(clippy::unwrap_used, clippy::panic, reason = "tests")]

use std::collections::BTreeMap;

use marquetry_engine::{RunStatus, StageStatus};
use marquetry_plugin::{Bar, Column, Figure, Panel, PanelBody, Paragraph, PointGroup, Series};
use marquetry_report::{ReportData, ReportStage, render};
use marquetry_types::{Diagnostic, Location, Timestamp, codes};
use serde_json::json;

const HOSTILE: &str = "<script>alert('x\"&')</script>\u{0}";

fn at(milliseconds: i64) -> Timestamp {
    Timestamp::from_millis(1_700_000_000_000 + milliseconds)
}

fn run(stages: Vec<ReportStage>) -> ReportData {
    ReportData {
        workflow: "retail".to_owned(),
        description: Some("who buys what".to_owned()),
        run: "01kb6r5y3v8m2q4x7c9d0e1f2g".to_owned(),
        status: RunStatus::Succeeded,
        params: json!({"segments": 8}).as_object().cloned().unwrap(),
        submitted_at: at(0),
        finished_at: Some(at(2_500)),
        generated_at: at(9_000),
        stages,
    }
}

fn stage(name: &str, needs: &[&str]) -> ReportStage {
    ReportStage {
        name: name.to_owned(),
        kind: "features/customer".to_owned(),
        summary: Some("one row a customer".to_owned()),
        status: StageStatus::Succeeded,
        needs: needs.iter().map(ToString::to_string).collect(),
        ready_at: Some(at(100)),
        started_at: Some(at(200)),
        finished_at: Some(at(1_400)),
        attempts: 1,
        rows: BTreeMap::from([("rows".to_owned(), 4_338)]),
        metrics: BTreeMap::from([("orders".to_owned(), 18_532.0)]),
        failure: None,
        skip_reason: None,
        warnings: Vec::new(),
        panels: Vec::new(),
    }
}

fn panel(title: &str, body: PanelBody) -> Panel {
    Panel {
        title: title.to_owned(),
        caption: Some(format!("about {title}")),
        body,
    }
}

/// One panel of every kind, all of them with this text wherever a text can be and these numbers.
fn every_panel(text: &str, values: [f64; 3]) -> Vec<Panel> {
    let text = || text.to_owned();
    let group = || PointGroup {
        name: text(),
        points: values.iter().map(|value| [*value, value * 2.0]).collect(),
    };
    let bodies = [
        PanelBody::Figures(vec![Figure {
            label: text(),
            value: values[0],
            unit: Some(text()),
            note: Some(text()),
        }]),
        PanelBody::Bars {
            category_label: text(),
            series: vec![Series {
                name: text(),
                unit: Some(text()),
            }],
            bars: values
                .iter()
                .map(|value| Bar {
                    label: text(),
                    values: vec![*value],
                })
                .collect(),
        },
        PanelBody::Heatmap {
            row_label: text(),
            column_label: text(),
            rows: vec![text(), text()],
            columns: vec![text(), text()],
            values: vec![
                vec![Some(values[0]), None],
                vec![Some(values[1]), Some(values[2])],
            ],
            unit: Some(text()),
        },
        PanelBody::Scatter {
            x_label: text(),
            y_label: text(),
            groups: vec![group(), group()],
        },
        PanelBody::Lines {
            x_label: text(),
            y_label: text(),
            series: vec![group(), group()],
        },
        PanelBody::Table {
            columns: vec![Column::new(text()), Column::new(text())],
            rows: vec![vec![json!(text()), json!(values[0])]],
        },
        PanelBody::Text(vec![Paragraph {
            heading: text(),
            text: text(),
        }]),
    ];
    bodies
        .into_iter()
        .map(|body| panel(&text(), body))
        .collect()
}

/// The page without its style sheet and without the shapes of charts: tags with ids and classes, and texts.
fn structure(page: &str) -> String {
    let (_, body) = page.split_once("<body>").unwrap();
    let mut lines = Vec::new();
    let mut in_chart = false;
    for line in body.lines().map(str::trim).filter(|line| !line.is_empty()) {
        in_chart |= line.contains("<svg class=\"chart\"");
        if !in_chart || line.contains("<title>") {
            lines.push(line);
        }
        in_chart &= !line.contains("</svg>");
    }
    lines.join("\n")
}

#[test]
fn the_page_of_a_small_run_has_this_structure() {
    let mut customers = stage("customers", &["orders"]);
    customers.panels = every_panel("loyal", [0.25, 1_234.5, 3.0]);
    customers.warnings = vec!["12 rows have no customer".to_owned()];
    let mut offers = stage("offers", &["customers", "orders"]);
    offers.status = StageStatus::Failed;
    offers.attempts = 3;
    let place = Location {
        file: "retail.yaml".to_owned(),
        line: 12,
        column: 5,
        length: 3,
    };
    offers.failure = Some(
        Diagnostic::new(codes::QUERY, "no column `kk`")
            .at(place)
            .help("did you mean `k`?"),
    );
    let mut letters = stage("letters", &["offers"]);
    letters.status = StageStatus::Skipped;
    letters.skip_reason = Some("`offers` failed".to_owned());
    (letters.ready_at, letters.started_at, letters.finished_at) = (None, None, None);
    let mut data = run(vec![stage("orders", &[]), customers, offers, letters]);
    data.status = RunStatus::Failed;
    insta::assert_snapshot!(structure(&render(&data).unwrap()));
}

#[test]
fn whatever_texts_hold_is_shown_as_text() {
    let mut hostile = stage("orders", &[HOSTILE]);
    hostile.name = HOSTILE.to_owned();
    hostile.kind = HOSTILE.to_owned();
    hostile.summary = Some(HOSTILE.to_owned());
    hostile.needs = vec![HOSTILE.to_owned()];
    hostile.skip_reason = Some(HOSTILE.to_owned());
    hostile.warnings = vec![HOSTILE.to_owned()];
    hostile.failure = Some(Diagnostic::new(codes::QUERY, HOSTILE).help(HOSTILE));
    hostile.rows = BTreeMap::from([(HOSTILE.to_owned(), 1)]);
    hostile.metrics = BTreeMap::from([(HOSTILE.to_owned(), 1.0)]);
    hostile.panels = every_panel(HOSTILE, [1.0, 2.0, 3.0]);
    let mut data = run(vec![hostile]);
    data.workflow = HOSTILE.to_owned();
    data.description = Some(HOSTILE.to_owned());
    data.run = HOSTILE.to_owned();
    data.params = json!({HOSTILE: {HOSTILE: [HOSTILE]}})
        .as_object()
        .cloned()
        .unwrap();
    let page = render(&data).unwrap();
    assert!(!page.contains("<script"), "{page}");
    assert!(!page.contains("='x\"") && !page.contains("\"x\""));
    assert!(page.contains("&lt;script&gt;"));
    assert!(tags_balance(&page), "an attribute or tag was broken");
}

/// Whether every opened element is closed in its order, and attribute values have no loose quotes.
fn tags_balance(page: &str) -> bool {
    const VOID: [&str; 2] = ["meta", "br"];
    let body = &page[page.find("<body>").unwrap()..];
    let mut open = vec!["html"];
    for piece in body.split('<').skip(1) {
        let (tag, _) = piece.split_once('>').unwrap_or((piece, ""));
        let name = tag
            .split([' ', '/'])
            .find(|part| !part.is_empty())
            .unwrap_or("");
        if tag.matches('"').count() % 2 != 0 {
            panic!("loose quote in <{tag}>");
        }
        if tag.starts_with('/') {
            if open.pop() != Some(name) {
                return false;
            }
        } else if !tag.ends_with('/') && !VOID.contains(&name) {
            open.push(name);
        }
    }
    open.is_empty()
}

#[test]
fn nothing_is_fetched() {
    let mut customers = stage("customers", &[]);
    customers.panels = every_panel("loyal", [1.0, 2.0, 3.0]);
    let page = render(&run(vec![customers])).unwrap();
    for fetching in [
        "http:", "https:", "src=", "url(", "@import", "<link", "<script", "<iframe",
    ] {
        assert!(!page.contains(fetching), "{fetching}");
    }
}

#[test]
fn the_same_data_gives_the_same_bytes() {
    let mut customers = stage("customers", &[]);
    customers.panels = every_panel("loyal", [1.0, 2.0, 3.0]);
    let data = run(vec![customers]);
    assert_eq!(render(&data).unwrap(), render(&data).unwrap());
}

#[test]
fn numbers_that_are_none_and_numbers_that_are_enormous_are_drawn_without_nonsense() {
    let triples = [
        [f64::NAN, f64::INFINITY, f64::NEG_INFINITY],
        [f64::MAX, f64::MIN, 0.0],
        [f64::MIN_POSITIVE, -0.0, 1e-300],
        [-3.0, -3.0, -3.0],
        [0.0, 0.0, 0.0],
    ];
    for values in triples {
        let mut customers = stage("customers", &[]);
        customers.panels = every_panel("loyal", values);
        customers.metrics = BTreeMap::from([("figure".to_owned(), values[0])]);
        let page = render(&run(vec![customers])).unwrap();
        let shown = page.to_lowercase();
        assert!(
            !shown.contains("nan") && !shown.contains("inf\""),
            "{values:?}"
        );
        assert!(!shown.contains("infinity"), "{values:?}");
        let outside = shown.match_indices("=\"-").any(|(index, _)| {
            let digits = shown[index + 3..].split('"').next().unwrap();
            digits.len() > 4 && digits.chars().all(|character| character.is_ascii_digit())
        });
        assert!(!outside, "a shape is far outside of its chart: {values:?}");
    }
}

#[test]
fn panels_without_rows_say_so() {
    let empty = [
        PanelBody::Figures(vec![]),
        PanelBody::Bars {
            category_label: "segment".to_owned(),
            series: vec![],
            bars: vec![],
        },
        PanelBody::Heatmap {
            row_label: "r".to_owned(),
            column_label: "c".to_owned(),
            rows: vec![],
            columns: vec![],
            values: vec![],
            unit: None,
        },
        PanelBody::Scatter {
            x_label: "x".to_owned(),
            y_label: "y".to_owned(),
            groups: vec![],
        },
        PanelBody::Lines {
            x_label: "x".to_owned(),
            y_label: "y".to_owned(),
            series: vec![PointGroup {
                name: "none".to_owned(),
                points: vec![],
            }],
        },
        PanelBody::Text(vec![]),
    ];
    for body in empty {
        let mut customers = stage("customers", &[]);
        customers.panels = vec![panel("nothing", body.clone())];
        let page = render(&run(vec![customers])).unwrap();
        assert!(page.contains("Nothing to show"), "{body:?}");
    }
    let mut customers = stage("customers", &[]);
    let table = PanelBody::Table {
        columns: vec![Column::new("name")],
        rows: vec![],
    };
    customers.panels = vec![panel("nothing", table)];
    assert!(render(&run(vec![customers])).unwrap().contains("no rows"));
}

#[test]
fn values_that_are_fewer_than_their_names_are_left_empty() {
    let bodies = [
        PanelBody::Heatmap {
            row_label: "r".to_owned(),
            column_label: "c".to_owned(),
            rows: vec!["1".to_owned(), "2".to_owned()],
            columns: vec!["1".to_owned(), "2".to_owned()],
            values: vec![vec![Some(1.0)]],
            unit: None,
        },
        PanelBody::Bars {
            category_label: "segment".to_owned(),
            series: vec![Series {
                name: "a".to_owned(),
                unit: None,
            }],
            bars: vec![Bar {
                label: "b".to_owned(),
                values: vec![],
            }],
        },
        PanelBody::Table {
            columns: vec![Column::new("name")],
            rows: vec![vec![json!(1), json!(2)], vec![]],
        },
    ];
    let mut customers = stage("customers", &[]);
    customers.panels = bodies
        .into_iter()
        .map(|body| panel("short", body))
        .collect();
    assert!(tags_balance(&render(&run(vec![customers])).unwrap()));
}

#[test]
fn a_run_without_stages_and_a_run_that_still_runs_have_a_page() {
    let page = render(&run(vec![])).unwrap();
    assert!(page.contains("no stages") && !page.contains("Timeline"));

    let mut running = stage("customers", &[]);
    running.status = StageStatus::Running;
    running.finished_at = None;
    let mut data = run(vec![running]);
    (data.status, data.finished_at) = (RunStatus::Running, None);
    let page = render(&data).unwrap();
    assert!(
        page.contains("8.8 s, running"),
        "drawn until the report is made"
    );
}

#[test]
fn a_hundred_stages_fit() {
    let names: Vec<_> = (0..100).map(|number| format!("stage_{number}")).collect();
    let stages = (0..100).map(|number: usize| {
        let needs: Vec<_> = [number / 2, number / 3, number.wrapping_sub(1)]
            .into_iter()
            .filter(|needed| *needed < number)
            .map(|needed| names[needed].as_str())
            .collect();
        stage(&names[number], &needs)
    });
    let page = render(&run(stages.collect())).unwrap();
    assert_eq!(page.matches("class=\"node succeeded\"").count(), 100);
    assert_eq!(page.matches("id=\"row-stage_").count(), 100);
    // A chain: each need that is not the stage before is implied.
    assert_eq!(page.matches("class=\"edge\"").count(), 99);
}

#[test]
fn more_points_rows_and_bars_than_a_page_holds_are_cut_and_counted() {
    let mut customers = stage("customers", &[]);
    customers.panels = vec![
        panel(
            "points",
            PanelBody::Scatter {
                x_label: "x".to_owned(),
                y_label: "y".to_owned(),
                groups: vec![PointGroup {
                    name: "all".to_owned(),
                    points: (0..20_000)
                        .map(|x| [f64::from(x), f64::from(x % 97)])
                        .collect(),
                }],
            },
        ),
        panel(
            "rows",
            PanelBody::Table {
                columns: vec![Column::new("x")],
                rows: (0..500).map(|x| vec![json!(x)]).collect(),
            },
        ),
    ];
    let page = render(&run(vec![customers])).unwrap();
    assert_eq!(page.matches("<circle").count(), 5_000);
    assert!(page.contains("5,000 of 20,000 points, evenly chosen"));
    assert!(page.contains("200 of 500 rows"));
}
