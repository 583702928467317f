//! A workflow file on disk, read with the files that it names.

use std::path::Path;

use marquetry_types::{Diagnostic, codes};
use marquetry_workflow::{Bundle, StageCatalogue, Workflow, parse};

use crate::failure::Failure;

/// The largest file that is read at all; what the format allows is far less and says so itself.
const LARGEST: u64 = 64 * 1024 * 1024;

/// Reads and checks a workflow file.
pub(crate) fn read(
    path: &Path,
    catalogue: &dyn StageCatalogue,
) -> Result<(Workflow, Bundle, String), Failure> {
    let name = path.display().to_string();
    let bytes = read_limited(path).map_err(|error| Failure::file("read", path, &error))?;
    let text = String::from_utf8(bytes).map_err(|error| {
        let at = error.utf8_error().valid_up_to();
        let message = format!("{name} is not UTF-8: byte {at} begins no character");
        Failure::Input(
            Diagnostic::new(codes::YAML_SYNTAX, message)
                .help("save it as UTF-8")
                .into(),
        )
    })?;
    let folder = path.parent().unwrap_or_else(|| Path::new(""));
    let read_file = |relative: &str| {
        std::fs::read_to_string(folder.join(relative)).map_err(|error| error.to_string())
    };
    match parse(&name, &text, catalogue, &read_file) {
        Ok((workflow, bundle)) => Ok((workflow, bundle, text)),
        Err(diagnostics) => Err(Failure::Text {
            diagnostics,
            source: text,
        }),
    }
}

fn read_limited(path: &Path) -> std::io::Result<Vec<u8>> {
    use std::io::Read;
    let mut bytes = Vec::new();
    std::fs::File::open(path)?
        .take(LARGEST)
        .read_to_end(&mut bytes)?;
    Ok(bytes)
}
