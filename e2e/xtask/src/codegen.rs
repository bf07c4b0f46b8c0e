//! `codegen`: writes the Rust code of the wire format from `shared/proto/capstan/v1/*.proto`; `codegen --check` proves that it is fresh.
//! No protoc is needed.

use std::path::{Path, PathBuf};

use anyhow::{Context, bail};

/// The files that the wire format is written in, below `shared/proto`.
const SOURCES: [&str; 1] = ["capstan/v1/session.proto"];

/// The file that is generated, named after the package.
const GENERATED: &str = "capstan.v1.rs";

/// What stands above the generated code.
const HEADER: &str = "//! Generated from `capstan/v1/*.proto` by `cargo run -p e2e-xtask -- codegen`; not to be edited.\n\n";

fn proto_crate() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../../shared/proto")
}

/// Generates the code and writes it into the source tree.
pub(crate) fn write() -> anyhow::Result<()> {
    let target = proto_crate().join("src/generated").join(GENERATED);
    std::fs::write(&target, generate()?).with_context(|| format!("cannot write {}", target.display()))
}

/// Fails if the checked-in code is not what the sources give.
pub(crate) fn check() -> anyhow::Result<()> {
    let target = proto_crate().join("src/generated").join(GENERATED);
    let present = std::fs::read_to_string(&target).with_context(|| format!("cannot read {}", target.display()))?;
    if present != generate()? {
        bail!("{} is not what the .proto files give; run `cargo run -p e2e-xtask -- codegen`", target.display());
    }
    Ok(())
}

fn generate() -> anyhow::Result<String> {
    let root = proto_crate();
    let descriptors = protox::compile(SOURCES.map(|source| root.join(source)), [&root]).context("the .proto files do not compile")?;
    let scratch = std::env::temp_dir().join(format!("capstan-codegen-{}", std::process::id()));
    std::fs::create_dir_all(&scratch).with_context(|| format!("cannot create {}", scratch.display()))?;
    let generated = tonic_prost_build::configure()
        .bytes(".")
        .btree_map(".")
        // Secrets travel in these two; their text form must not show them.
        .skip_debug([".capstan.v1.AppKey", ".capstan.v1.EnrolRequest"])
        .out_dir(&scratch)
        .emit_rerun_if_changed(false)
        .compile_fds(descriptors)
        .and_then(|()| std::fs::read_to_string(scratch.join(GENERATED)));
    let cleaned = std::fs::remove_dir_all(&scratch);
    let generated = generated.context("code generation failed")?;
    cleaned.with_context(|| format!("cannot remove {}", scratch.display()))?;
    Ok(format!("{HEADER}{generated}"))
}

#[cfg(test)]
mod tests {
    #[test]
    fn the_generated_wire_code_is_fresh() {
        super::check().unwrap();
    }
}
