//! `assay policy forms`, and `assay policy check --forms`.

use serde_json::json;

use crate::support::*;

/// The forms of a directory of policy files, as hsm.toml has them.
fn forms(directory: &str) -> String {
    let run = assay(&["policy", "forms", directory]);
    exits(&run, 0);
    out(&run)
}

fn shipped_forms(directory: &str) -> String {
    forms(shipped(directory).to_str().unwrap())
}

#[test]
fn forms_are_printed_as_hsm_toml_has_them() {
    golden("forms-demo.txt", &shipped_forms("demo"));
    golden("forms-examples.txt", &shipped_forms("examples"));
    let directory = shipped("demo");
    let run = assay(&["policy", "forms", "--json", directory.to_str().unwrap()]);
    exits(&run, 0);
    let told = json(&run);
    let names = ["devices", "fleet"].map(|name| json!(name));
    assert_eq!([&told[0]["name"], &told[1]["name"]], [&names[0], &names[1]]);
    assert_eq!(told[0]["lifetime_max"], "90d");
}

#[test]
fn profiles_with_equal_forms_have_one() {
    let desk = Desk::new();
    let devices = shipped_text("demo/devices.toml");
    desk.write("policy/devices.toml", &devices);
    let other = replaced(&devices, "default = true ", "default = false");
    desk.write("policy/other.toml", replaced(&other, "DEMO-1", "DEMO-2"));
    desk.write("policy/fleet.toml", shipped_text("demo/fleet.toml"));
    let printed = forms(&desk.path("policy"));
    let said: Vec<&str> = printed
        .lines()
        .filter(|line| line.starts_with('#') || line.starts_with("name"))
        .collect();
    let wanted = [
        "# For devices, other.",
        "name = \"devices\"",
        "# For fleet.",
        "name = \"fleet\"",
    ];
    assert_eq!(said, wanted);
}

#[test]
fn what_is_printed_covers_the_policy_in_any_hsm_toml() {
    let desk = Desk::new();
    for directory in ["demo", "examples"] {
        // Other tables are those of the HSM service alone, known here or not.
        let text = format!(
            "socket = 7\n[unknown]\nkey = \"value\"\n\n{}",
            shipped_forms(directory)
        );
        let file = desk.write("hsm.toml", text);
        let policy = shipped(directory);
        let run = assay(&[
            "policy",
            "check",
            "--forms",
            &file,
            policy.to_str().unwrap(),
        ]);
        exits(&run, 0);
        assert!(out(&run).starts_with("good: "), "{}", out(&run));
    }
}

#[test]
fn a_profile_that_no_form_covers_is_named_with_the_form_and_the_misfit() {
    let desk = Desk::new();
    let file = desk.write("hsm.toml", shipped_forms("demo"));
    let longer = ("validity = \"90d\"", "validity = \"91d\"");
    let policy = desk.changed("demo", "fleet.toml", longer.0, longer.1);
    let misfit = "the lifetime is longer than lifetime_max, 90d";
    let problem = format!(
        "it fits no form of the HSM service's configuration: form `devices`: {misfit}; form `fleet`: {misfit}"
    );
    let run = assay(&["policy", "check", "--forms", &file, &policy]);
    exits(&run, 1);
    assert_eq!(out(&run), "");
    let told = said(&run);
    assert!(told.contains(&format!("fleet.toml: {problem}\n")), "{told}");
    assert!(!told.contains("devices.toml"), "{told}");
    assert!(told.contains("assay policy forms"), "{told}");

    let run = assay(&["policy", "check", "--json", "--forms", &file, &policy]);
    exits(&run, 1);
    let told = json(&run);
    assert_eq!(told["good"], json!(false));
    assert_eq!(told["errors"].as_array().unwrap().len(), 1);
    let error = &told["errors"][0];
    assert_eq!(error["file"], "fleet.toml");
    assert_eq!(error["rule"], json!(null));
    assert_eq!(error["problem"], problem);

    // As it is advised.
    desk.write("hsm.toml", forms(&policy));
    exits(&assay(&["policy", "check", "--forms", &file, &policy]), 0);
}

#[test]
fn a_file_without_forms_covers_nothing_and_an_unsafe_form_is_not_taken() {
    let desk = Desk::new();
    let policy = shipped("demo");
    let check = |text: &str| {
        let file = desk.write("hsm.toml", text);
        assay(&[
            "policy",
            "check",
            "--forms",
            &file,
            policy.to_str().unwrap(),
        ])
    };
    let run = check("socket = \"x\"\n");
    exits(&run, 1);
    assert!(said(&run).contains("has no form"), "{}", said(&run));
    let any = shipped_forms("demo").replace("clientAuth", "anyExtendedKeyUsage");
    let run = check(&any);
    exits(&run, 2);
    assert!(said(&run).contains("every purpose"), "{}", said(&run));
    exits(&check("[[form]]\nname = \"x\"\n"), 2);
}
