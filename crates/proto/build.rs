//! Generates the wire types from `proto/` with protox, so that no machine needs a `protoc`.

use std::error::Error;
use std::path::Path;

fn main() -> Result<(), Box<dyn Error>> {
    // Asked for when it runs: two clones that share a target folder share this program.
    let root = Path::new(&std::env::var("CARGO_MANIFEST_DIR")?).join("../../proto");
    println!("cargo:rerun-if-changed={}", root.display());
    let files =
        ["diagnostic", "run", "worker"].map(|name| root.join(format!("marquetry/v1/{name}.proto")));
    let descriptors = protox::compile(files, [&root])?;
    tonic_prost_build::configure()
        .build_transport(true)
        .compile_well_known_types(false)
        .compile_fds(descriptors)?;
    Ok(())
}
