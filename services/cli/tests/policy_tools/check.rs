//! `assay policy check`.

use serde_json::json;

use crate::support::*;

/// The demo's profile with three faults on three lines.
fn three_faults() -> String {
    let text = shipped_text("demo/devices.toml");
    let text = replaced(&text, "ticket = ", "tickt = ");
    let text = replaced(&text, "challenge = \"one-time\"", "challenge = \"one-tim\"");
    replaced(&text, "min_bits = 2048", "min_bits = 1024")
}

/// What each of them is told by: the key left out, the key that is unknown, and two values.
const TOLD: [(&str, &str); 4] = [
    ("ticket", "TOM-04"),
    ("tickt", "TOM-03"),
    ("enrolment.challenge", "TOM-06"),
    ("keys.rsa.min_bits", "TOM-06"),
];

#[test]
fn every_error_is_told_at_once_with_file_line_column_and_rule() {
    let desk = Desk::new();
    let file = desk.write("devices.toml", three_faults());
    let run = assay(&["policy", "check", &file]);
    exits(&run, 1);
    assert_eq!(out(&run), "");
    golden("check-errors.txt", &said(&run));

    let run = assay(&["policy", "check", "--json", &file]);
    exits(&run, 1);
    let told = json(&run);
    assert_eq!(told["good"], json!(false));
    let errors = told["errors"].as_array().unwrap();
    assert_eq!(errors.len(), TOLD.len(), "{told}");
    for (key, rule) in TOLD {
        let error = errors.iter().find(|error| error["key"] == key).unwrap();
        assert_eq!(error["rule"], rule);
        assert_eq!(error["file"], "devices.toml");
        assert!(error["line"].as_u64().unwrap() > 0, "{error}");
        assert!(error["column"].as_u64().unwrap() > 0, "{error}");
        assert!(!error["problem"].as_str().unwrap().is_empty());
    }
}

#[test]
fn errors_of_several_files_are_told_together() {
    let desk = Desk::new();
    desk.write("policy/devices.toml", three_faults());
    desk.write("policy/broken.toml", "description = \n");
    desk.write("policy/Bad_Name.toml", shipped_text("demo/fleet.toml"));
    let run = assay(&["policy", "check", "--json", &desk.path("policy")]);
    exits(&run, 1);
    let told = json(&run);
    let files: std::collections::BTreeSet<&str> = told["errors"]
        .as_array()
        .unwrap()
        .iter()
        .map(|error| error["file"].as_str().unwrap())
        .collect();
    let wanted = ["Bad_Name.toml", "broken.toml", "devices.toml"];
    assert_eq!(files.into_iter().collect::<Vec<_>>(), wanted);
}

#[test]
fn warnings_name_who_is_shut_out_and_leave_the_exit_code_0() {
    let desk = Desk::new();
    let text = shipped_text("demo/devices.toml");
    let path = desk.write("devices.toml", &text);
    let run = assay(&["policy", "check", "--json", &path]);
    exits(&run, 0);
    assert_eq!(json(&run)["warnings"], json!([]));

    let digests = "message_digests = [\"sha256\", \"sha384\", \"sha512\"]";
    let path = desk.write(
        "devices.toml",
        replaced(&text, digests, "message_digests = [\"sha256\"]"),
    );
    let run = assay(&["policy", "check", &path]);
    exits(&run, 0);
    let printed = said(&run);
    for part in [
        "warning: devices.toml: algorithms.message_digests: ",
        "strongSwan",
        "add \"sha384\"",
    ] {
        assert!(printed.contains(part), "{part}: {printed}");
    }
    let run = assay(&["policy", "check", "--json", &path]);
    exits(&run, 0);
    let found = json(&run);
    assert_eq!(found["good"], json!(true));
    assert_eq!(found["warnings"][0]["kind"], "no-sha384");
    assert_eq!(found["warnings"][0]["key"], "algorithms.message_digests");
}

#[test]
fn what_ships_is_good() {
    for directory in ["demo", "examples"] {
        let path = shipped(directory);
        let run = assay(&["policy", "check", "--json", path.to_str().unwrap()]);
        exits(&run, 0);
        let told = json(&run);
        assert_eq!(told["good"], json!(true));
        assert_eq!(told["errors"], json!([]));
        assert_eq!(told["model_hash"].as_str().unwrap().len(), 64);
    }
}
