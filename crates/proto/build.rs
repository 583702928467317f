//! Generates the wire types from `proto/` with protox, so that no machine needs a `protoc`.

use std::error::Error;
use std::path::Path;

use prost::Message;

fn main() -> Result<(), Box<dyn Error>> {
    // Asked for when it runs: two clones that share a target folder share this program.
    let root = Path::new(&std::env::var("CARGO_MANIFEST_DIR")?).join("../../proto");
    println!("cargo:rerun-if-changed={}", root.display());
    let files = [
        "data_plane",
        "diagnostic",
        "run",
        "worker",
        "cluster",
        "workflow",
        "plugin",
    ]
    .map(|name| root.join(format!("marquetry/v1/{name}.proto")));
    let descriptors = protox::compile(files, [&root])?;
    // For the reflection service: clients such as grpcurl need no files.
    let out = Path::new(&std::env::var("OUT_DIR")?).join("marquetry.bin");
    std::fs::write(out, descriptors.encode_to_vec())?;
    tonic_prost_build::configure()
        .build_transport(true)
        .compile_well_known_types(false)
        .compile_fds(descriptors)?;
    Ok(())
}
