//! A policy file, whoever wrote it.
#![no_main]

use assay_policy::{Bundle, PolicyFile};
use libfuzzer_sys::fuzz_target;

fuzz_target!(|content: &[u8]| {
    let file = PolicyFile {
        name: "devices.toml".to_owned(),
        content: content.to_vec(),
    };
    match Bundle::load(&[file]) {
        Ok(bundle) => assert!(bundle.profile("devices").is_some()),
        Err(errors) => {
            assert!(!errors.is_empty());
            for error in errors {
                assert!(!error.to_string().is_empty());
            }
        }
    }
});
