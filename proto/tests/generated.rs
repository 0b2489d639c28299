//! The checked-in code is what `signer.proto` generates. `ASSAY_BLESS=1` writes it anew.

use std::path::Path;

#[test]
fn generated_code_matches_the_contract() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let descriptors = protox::compile([root.join("signer.proto")], [root]).unwrap();
    let out = tempfile::tempdir().unwrap();
    tonic_prost_build::configure()
        .out_dir(out.path())
        .compile_fds(descriptors)
        .unwrap();

    let wanted = std::fs::read_to_string(out.path().join("assay.v1.rs")).unwrap();
    let checked_in = root.join("src/gen/assay.v1.rs");
    if std::env::var_os("ASSAY_BLESS").is_some() {
        std::fs::write(&checked_in, &wanted).unwrap();
    }
    let found = std::fs::read_to_string(&checked_in).unwrap();
    assert!(
        found == wanted,
        "proto/src/gen/assay.v1.rs is stale: run `ASSAY_BLESS=1 cargo test -p assay-proto`"
    );
}
