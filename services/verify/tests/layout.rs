//! The form of an export: read as it was written, and in no other way.

use assay_types::Hash;
use assay_verify::layout::{
    EvidenceLine, InventoryLine, Manifest, ManifestFile, Place, bundle_of, bundles_of, first_of,
    records_in,
};

#[test]
fn every_place_is_read_back_and_no_other_spelling_of_it() {
    let places = [
        (Place::Manifest, "manifest.json"),
        (Place::Checkpoint, "checkpoint"),
        (Place::LogKey, "log.vkey"),
        (Place::Issuer(0, 0), "issuers/0/0.der"),
        (Place::Issuer(1, 12), "issuers/1/12.der"),
        (Place::Proposal(12), "policies/12/proposal.toml"),
        (Place::Author(1), "policies/1/author.p7s"),
        (Place::Approval(1, 2), "policies/1/approvals/2.p7s"),
        (
            Place::Policy(1, "devices".to_owned()),
            "policies/1/files/devices.toml",
        ),
        (
            Place::Inventory("fleet".to_owned()),
            "inventories/fleet.jsonl",
        ),
        (Place::Evidence(7), "evidence/007.jsonl"),
        (Place::Evidence(12_345), "evidence/12345.jsonl"),
        (Place::Certificates(0), "certificates/000.pem"),
    ];
    for (place, path) in places {
        assert_eq!(place.to_string(), path);
        assert_eq!(path.parse(), Ok(place));
    }
    for path in [
        "",
        "/checkpoint",
        "./checkpoint",
        "checkpoint/",
        "issuers/0.der",
        "issuers/0/00.der",
        "issuers/00/0.der",
        "issuers/0/+1.der",
        "issuers/0/0/0.der",
        "issuers/../checkpoint",
        "policies/1/files/../proposal.toml",
        "policies/1/files/Devices.toml",
        "policies/1/files/.toml",
        "policies/1/files/a/b.toml",
        "inventories/-fleet.jsonl",
        "evidence/7.jsonl",
        "evidence/0007.jsonl",
        "evidence/007.json",
        "README",
    ] {
        assert!(path.parse::<Place>().is_err(), "{path}");
    }
}

#[test]
fn sequence_numbers_and_bundles_go_together() {
    assert_eq!(bundle_of(0), None);
    for (sequence, bundle) in [(1, 0), (256, 0), (257, 1), (512, 1), (513, 2)] {
        assert_eq!(bundle_of(sequence), Some(bundle), "{sequence}");
    }
    assert_eq!((first_of(0), first_of(2)), (1, 513));
    assert_eq!((records_in(0, 300), records_in(1, 300)), (256, 44));
    assert_eq!((records_in(2, 300), records_in(0, 0)), (0, 0));
    assert_eq!((bundles_of(0), bundles_of(256), bundles_of(257)), (0, 1, 2));
}

fn file(path: &str) -> ManifestFile {
    ManifestFile {
        octets: 3,
        path: path.to_owned(),
        sha256: Hash::of(b"abc"),
    }
}

#[test]
fn a_manifest_is_sorted_and_read_in_its_one_form() {
    let manifest = Manifest::new(300, vec![1, 0], vec![file("log.vkey"), file("checkpoint")]);
    let bytes = manifest.to_canonical().unwrap();
    let text = String::from_utf8(bytes.clone()).unwrap();
    assert!(
        text.starts_with(
            r#"{"bundles":[0,1],"files":[{"octets":3,"path":"checkpoint","sha256":"ba7816bf"#
        ),
        "{text}"
    );
    assert!(
        text.ends_with(r#""format":"assay-export/1","size":300}"#),
        "{text}"
    );
    assert_eq!(Manifest::parse(&bytes).unwrap(), manifest);
    for (from, to, word) in [
        ("[0,1]", "[1,0]", "bundles"),
        ("[0,1]", "[0,0]", "bundles"),
        ("[0,1]", "[0,2]", "bundles"),
        ("[0,1]", "[0, 1]", "canonical"),
        ("export/1", "export/2", "format"),
        ("log.vkey", "checkpoint", "files"),
        ("log.vkey", "a", "files"),
        ("\"size\":300", "\"size\":300,\"size\":300", "manifest"),
        ("\"size\":300", "\"size\":300,\"more\":1", "manifest"),
        ("\"size\":300", "\"size\":-1", "manifest"),
    ] {
        let other = text.replace(from, to);
        assert_ne!(other, text);
        let error = Manifest::parse(other.as_bytes()).unwrap_err().to_string();
        assert!(error.contains(word), "{to}: {error}");
    }
}

#[test]
fn evidence_comes_back_with_the_bytes_that_were_hashed() {
    let line = EvidenceLine {
        sequence: 9,
        salt: [7; 32],
        content: br#"{"a":[1,true],"b":"x"}"#.to_vec(),
    };
    let bytes = line.to_canonical().unwrap();
    assert_eq!(
        String::from_utf8(bytes.clone()).unwrap(),
        format!(
            r#"{{"content":{{"a":[1,true],"b":"x"}},"salt":"{}","sequence":9}}"#,
            "07".repeat(32)
        )
    );
    assert_eq!(EvidenceLine::parse(&bytes).unwrap(), line);
    for content in [
        &b"{\"b\":1,\"a\":2}"[..],
        b"{\"a\": 1}",
        b"{\"a\":1.5}",
        b"no",
    ] {
        let other = EvidenceLine {
            content: content.to_vec(),
            ..line.clone()
        };
        assert!(other.to_canonical().is_err());
    }
    for at in 0..bytes.len() {
        let mut other = bytes.clone();
        other[at] ^= 1;
        assert_ne!(EvidenceLine::parse(&other).ok(), Some(line.clone()), "{at}");
    }
}

#[test]
fn an_inventory_line_keeps_its_content_as_text() {
    let line = InventoryLine {
        content: r#"{"at":1,"names":[["a",null]]}"#.to_owned(),
        hash: Hash::of(b"x"),
        sequence: 1,
    };
    let bytes = line.to_canonical().unwrap();
    assert_eq!(InventoryLine::parse(&bytes).unwrap(), line);
    let spaced = String::from_utf8(bytes).unwrap().replace(":1}", ": 1}");
    assert!(InventoryLine::parse(spaced.as_bytes()).is_err());
}
