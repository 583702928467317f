//! Sentences with code in them: what stands between backticks is set as code, all else as text.

use minijinja::{HtmlEscape, Value as Markup};

/// The template filter `prose`: a text as HTML, nothing of it taken for markup but pairs of backticks.
pub(crate) fn prose(text: &str) -> Markup {
    let mut html = String::with_capacity(text.len());
    let mut rest = text;
    while let Some((before, code, after)) = next_code(rest) {
        html.push_str(&format!(
            "{}<code>{}</code>",
            HtmlEscape(before),
            HtmlEscape(code)
        ));
        rest = after;
    }
    html.push_str(&HtmlEscape(rest).to_string());
    Markup::from_safe_string(html)
}

/// The text before the next code, the code, and the text after it.
fn next_code(text: &str) -> Option<(&str, &str, &str)> {
    let (before, rest) = text.split_once('`')?;
    let (code, after) = rest.split_once('`')?;
    Some((before, code, after))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn backticks_make_code_and_nothing_makes_markup() {
        let html = |text| prose(text).to_string();
        assert_eq!(
            html("sum of `monetary` < `a<b`"),
            "sum of <code>monetary</code> &lt; <code>a&lt;b</code>"
        );
        assert_eq!(html("a lone ` stays"), "a lone ` stays");
        assert_eq!(html("``"), "<code></code>");
    }
}
