use super::*;

const BEFORE: &str = r#"# The signer of the first floor.
[enrolment]
listen = "1" # kept

# Files.
[certificates]
ca = "ca.pem"   # made in 2017
chain = [
    "a.pem", # above it
    "root.pem",
]

[ocsp]
certificate = "ocsp.pem"
validity = "3d"

# A word about times.

# The CA that takes over.
[rollover]
switch_at = "2027-01-15T02:00:00Z"
# of its own
[rollover.certificates]
ca = "2/ca.pem"
ra_single = "2/ra-single.pem"
chain = ["2/root.pem"]

[rollover.ocsp]
certificate = "2/ocsp.pem"

# Four eyes.
[policy]
approvals = 2
[[policy.approver]]
person = "a"
"#;

const AFTER: &str = r#"# The signer of the first floor.
[enrolment]
listen = "1" # kept

# Files.
[certificates]
ca = "2/ca.pem"   # made in 2017
chain = ["2/root.pem"]
ra_single = "2/ra-single.pem"

[ocsp]
certificate = "2/ocsp.pem"
validity = "3d"

# A word about times.

# Four eyes.
[policy]
approvals = 2
[[policy.approver]]
person = "a"

[audit]
origin = "assay/signer/0011"
"#;

#[test]
fn the_tables_move_up_and_every_other_line_stays() {
    let moved = moved(BEFORE, "assay/signer/0011").unwrap();
    assert_eq!(moved.text, AFTER);
    assert!(moved.lines.contains("[certificates]\n"), "{}", moved.lines);
    assert!(moved.lines.contains("origin = \"assay/signer/0011\"\n"));
}

#[test]
fn a_log_that_has_a_name_keeps_it() {
    for (audit, wanted) in [
        ("[audit]\norigin = \"mine\" # for good\n", "mine"),
        ("[audit]\n", "assay/x"),
        ("[audit]\nwitnesses = []\n", "assay/x"),
        ("[audit] # the log\n# nothing else\n", "assay/x"),
    ] {
        let moved = moved(&format!("{BEFORE}{audit}"), "assay/x").unwrap();
        let after: Table = moved.text.parse().unwrap();
        assert_eq!(after["audit"]["origin"].as_str(), Some(wanted));
        assert!(!after.contains_key("rollover"));
        for line in audit.lines() {
            assert!(moved.text.contains(line), "{}", moved.text);
        }
    }
}

#[test]
fn tables_at_the_end_and_in_several_places_are_found() {
    let (head, tail) = BEFORE.split_once("# Four eyes.").unwrap();
    let apart = head.replace(
        "[rollover.certificates]",
        "# Between.\n[crl]\nvalidity = \"7d\"\n\n[rollover.certificates]",
    );
    for text in [head.to_owned(), format!("{apart}# Four eyes.{tail}")] {
        let moved = moved(&text, "o").unwrap();
        assert!(!moved.text.contains("rollover"), "{}", moved.text);
        assert_eq!(
            text.contains("# Between."),
            moved.text.contains("# Between.")
        );
        assert!(moved.text.contains("ca = \"2/ca.pem\""));
    }
}

#[test]
fn what_the_next_ca_has_not_is_not_kept_from_the_one_before() {
    let none = BEFORE.replace("chain = [\"2/root.pem\"]\n", "");
    let after: Table = moved(&none, "o").unwrap().text.parse().unwrap();
    assert_eq!(
        after["certificates"]["chain"].as_array().map(Vec::len),
        Some(0)
    );

    let (head, tail) = BEFORE.split_once("[rollover.ocsp]").unwrap();
    let (_, tail) = tail.split_once("# Four eyes.").unwrap();
    let error = moved(&format!("{head}# Four eyes.{tail}"), "o").unwrap_err();
    assert!(
        error.to_string().contains("[rollover.ocsp] has not"),
        "{error}"
    );
}

#[test]
fn a_file_that_is_written_otherwise_is_left_alone() {
    let (head, tail) = BEFORE.split_once("# The CA that takes over.").unwrap();
    let (_, tail) = tail.split_once("# Four eyes.").unwrap();
    let inline = "rollover = { certificates = { ca = \"new\" }, ocsp = { certificate = \"c\" } }\n";
    let error = moved(&format!("{inline}{head}{tail}"), "o").unwrap_err();
    let told = error.to_string();
    assert!(
        told.contains("by hand") && told.contains("ca = \"new\""),
        "{told}"
    );
}
