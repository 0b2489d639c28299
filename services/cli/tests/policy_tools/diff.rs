//! `assay policy diff`.

use std::process::Command;

use serde_json::json;

use crate::support::*;

#[test]
fn what_differs_is_told_by_meaning_and_exit_code() {
    let desk = Desk::new();
    let old = shipped("examples");
    let new = desk.changed(
        "examples",
        "wifi-device.toml",
        "validity = \"365d\"",
        "validity = \"400d\"",
    );
    let wifi = std::fs::read_to_string(desk.path("changed/wifi-device.toml")).unwrap();
    let wifi = replaced(
        &wifi,
        "[certificate]",
        "[[san]]\ntype = \"dns\"\nvalue = { literal = \"vpn7.example.org\" }\n\n[certificate]",
    );
    desk.write(
        "changed/wifi-device.toml",
        format!(
            "{wifi}\n[quirks]\nallow_sha1 = {{ value = true, until = 2027-01-01T00:00:00Z }}\n"
        ),
    );
    std::fs::remove_file(desk.path("changed/smime.toml")).unwrap();
    let run = assay(&["policy", "diff", old.to_str().unwrap(), &new]);
    exits(&run, 1);
    golden("diff.txt", &out(&run));
    assert_eq!(said(&run), "");

    let run = assay(&["policy", "diff", "--json", old.to_str().unwrap(), &new]);
    exits(&run, 1);
    let told = json(&run);
    assert_eq!(told["equal"], json!(false));
    let validity = told["changes"]
        .as_array()
        .unwrap()
        .iter()
        .find(|change| change["paths"] == json!(["certificate.validity"]))
        .unwrap();
    assert_eq!(validity["profile"], "wifi-device");
    assert_eq!(validity["effect"], "changed");
    assert_eq!(validity["bearing"], "more permissive");
}

#[test]
fn files_that_mean_the_same_are_equal() {
    let desk = Desk::new();
    let old = shipped("demo");
    let old = old.to_str().unwrap();
    let run = assay(&["policy", "diff", old, old]);
    exits(&run, 0);
    assert_eq!(out(&run), "equal\n");

    let new = desk.changed("demo", "devices.toml", "\"7d\"", "\"168h\"  # a week");
    let run = assay(&["policy", "diff", old, &new]);
    exits(&run, 0);
    assert_eq!(out(&run), "equal; the files differ in form alone\n");
    let run = assay(&["policy", "diff", "--json", old, &new]);
    exits(&run, 0);
    assert_eq!(
        json(&run),
        json!({"equal": true, "same_files": false, "changes": []})
    );
}

#[test]
fn two_files_are_versions_of_one_profile_whatever_their_names() {
    let desk = Desk::new();
    let text = shipped_text("demo/devices.toml");
    let old = desk.write("devices.toml", &text);
    let new = desk.write(
        "devices-new.toml",
        replaced(&text, "name_per_hour = 60", "name_per_hour = 6"),
    );
    let run = assay(&["policy", "diff", &old, &new]);
    exits(&run, 1);
    assert_eq!(
        out(&run),
        "profile devices-new: name from devices to devices-new (changed)\n\
         profile devices-new: certificates an hour for one name lowered from 60 to 6 (changed, less permissive)\n\
         2 differences: 0 newly permitted, 0 no longer permitted, 2 changed\n"
    );
}

#[test]
fn proposals_are_compared_with_their_settings() {
    let desk = Desk::new();
    let made = Command::new("openssl")
        .args([
            "req",
            "-x509",
            "-newkey",
            "rsa:2048",
            "-nodes",
            "-subj",
            "/CN=author",
        ])
        .args([
            "-keyout",
            &desk.path("author.key"),
            "-out",
            &desk.path("author.pem"),
        ])
        .output()
        .unwrap();
    assert!(made.status.success(), "{}", said(&made));
    let basis = |number: u64, ttl: &str| {
        json!({
            "next_number": number + 1, "predecessor": "", "issuer": "22".repeat(32), "settings": {"intent_ttl": ttl},
            "inventories": {"fleet": "33".repeat(32)}, "approvals": 1, "approvers": [], "stopped": [],
        })
        .to_string()
    };
    let propose = |name: &str, policy: &str, basis: &str, more: &[&str]| {
        let basis = desk.write("basis.json", basis);
        let (certificate, key) = (desk.path("author.pem"), desk.path("author.key"));
        let folder = desk.path(name);
        let arguments = [
            "policy",
            "propose",
            policy,
            "--ticket",
            "T-1",
            "--expires",
            "2040-01-01",
            "--basis",
            &basis,
            "--certificate",
            &certificate,
            "--key",
            &key,
            "-o",
            &folder,
        ];
        let run = assay(&[&arguments[..], more].concat());
        exits(&run, 0);
        folder
    };
    let old = shipped("demo");
    let new = desk.changed("demo", "devices.toml", "max = 8", "max = 9");
    let first = propose("first", old.to_str().unwrap(), &basis(0, "1h"), &[]);
    let configuration = "44".repeat(32);
    let named = ["--resume", "fleet", "--hsm-configuration", &configuration];
    let second = propose("second", &new, &basis(1, "2h"), &named);
    let run = assay(&["policy", "diff", &first, &second]);
    exits(&run, 1);
    // Proposals begin when they are made; within one second both begin alike.
    let lines: Vec<String> = out(&run)
        .lines()
        .filter(|line| !line.contains("not_before") && !line.contains("differences"))
        .map(str::to_owned)
        .collect();
    assert_eq!(
        lines,
        [
            "proposal: number from 1 to 2 (changed)",
            &format!("proposal: hsm_configuration from none to {configuration} (changed)"),
            "proposal: issuing under the stopped profile fleet newly permitted",
            "proposal: setting intent_ttl from 1h to 2h (changed)",
            "profile devices: most claimed SAN dns raised from 8 to 9 (changed, more permissive)",
        ]
    );
    // A proposal and a directory have the profiles in common.
    let run = assay(&["policy", "diff", &second, &new]);
    exits(&run, 0);
    let run = assay(&["policy", "diff", &first, &first]);
    exits(&run, 0);
}

#[test]
fn what_cannot_be_read_is_named_with_every_error() {
    let desk = Desk::new();
    let old = shipped("demo");
    let old = old.to_str().unwrap();
    let run = assay(&["policy", "diff", old, &desk.path("nowhere")]);
    exits(&run, 2);
    assert!(
        said(&run).contains("nowhere does not exist"),
        "{}",
        said(&run)
    );

    let text = shipped_text("demo/devices.toml");
    let text = replaced(&text, "min_bits = 2048", "min_bits = 1");
    let text = replaced(&text, "validity = \"90d\"", "validity = 90");
    let text = replaced(&text, "same_key = true", "same_kye = true");
    let broken = desk.write("devices.toml", text);
    let run = assay(&["policy", "diff", old, &broken]);
    exits(&run, 2);
    assert_eq!(out(&run), "");
    for part in [
        "keys.rsa.min_bits: TOM-06",
        "certificate.validity: TOM-05",
        "renewal.same_kye: TOM-03",
        "3 errors in the policy",
    ] {
        assert!(said(&run).contains(part), "{part}: {}", said(&run));
    }
}
