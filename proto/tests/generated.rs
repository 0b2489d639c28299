//! The checked-in code is what the `.proto` files generate. `ASSAY_BLESS=1` writes it anew.

#![allow(clippy::unwrap_used, reason = "a test may fail by panic")]

use std::path::Path;

use prost_types::field_descriptor_proto::{Label, Type};
use prost_types::{DescriptorProto, FieldDescriptorProto, FileDescriptorSet};
use tonic_prost_build::Builder;

#[test]
fn generated_code_matches_the_contract() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let files = ["enrolment.proto", "administration.proto"].map(|file| root.join(file));
    let descriptors = protox::compile(files, [root]).unwrap();
    let out = tempfile::tempdir().unwrap();
    let builder = tonic_prost_build::configure()
        .out_dir(out.path())
        .btree_map(".")
        .extern_path(".google.protobuf.Timestamp", "crate::Timestamp")
        .extern_path(".google.protobuf.Duration", "crate::Duration");
    printable(builder, &descriptors)
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

/// Messages that are read back from what was printed.
const READ_BACK: [&str; 3] = ["PolicyBasisReply", "PolicyApprover", "StoppedProfile"];

/// The replies of Administration, and what they hold, serialise for `--json`.
fn printable(mut builder: Builder, descriptors: &FileDescriptorSet) -> Builder {
    let administration = descriptors
        .file
        .iter()
        .find(|file| file.name() == "administration.proto")
        .unwrap();
    for message in &administration.message_type {
        let name = message.name();
        if name.ends_with("Request") || name.starts_with("Export") {
            continue;
        }
        let path = format!(".assay.v1.{name}");
        builder = builder.message_attribute(&path, "#[derive(serde::Serialize)]");
        if READ_BACK.contains(&name) {
            let attributes = "#[derive(serde::Deserialize)]\n#[serde(deny_unknown_fields)]";
            builder = builder.message_attribute(&path, attributes);
        }
        builder = printable_fields(builder, message);
    }
    builder
}

fn printable_fields(mut builder: Builder, message: &DescriptorProto) -> Builder {
    for field in &message.field {
        if let Some(function) = serializer(field) {
            let path = format!(".assay.v1.{}.{}", message.name(), field.name());
            let attribute = format!("#[serde(serialize_with = \"crate::json::{function}\")]");
            builder = builder.field_attribute(path, attribute);
        }
    }
    builder
}

/// Of a member that prost keeps in a form which nobody would print.
fn serializer(field: &FieldDescriptorProto) -> Option<String> {
    let repeated = field.label() == Label::Repeated;
    if field.r#type() == Type::Bytes {
        return Some(if repeated { "base64_each" } else { "base64" }.to_owned());
    }
    if field.r#type() != Type::Enum || repeated {
        return None;
    }
    let name = field.type_name().rsplit('.').next()?;
    let optional = if field.proto3_optional() {
        "optional_"
    } else {
        ""
    };
    Some(format!("{optional}name::<{name}, _>"))
}
