//! The document for auditors says what is checked.

use assay_verify::Check;

#[test]
fn every_check_is_listed_with_its_title() {
    let listed = include_str!("../../../../docs/auditor.md");
    for (number, check) in (1..).zip(Check::ALL) {
        assert_eq!(check.id(), format!("VER-{number:02}"));
        let row = format!("| {} | {} |\n", check.id(), check.title());
        assert!(listed.contains(&row), "docs/auditor.md lacks: {row}");
    }
    let counted = format!("{} checks in [docs/auditor.md]", Check::ALL.len());
    let readme = include_str!("../../../../README.md");
    assert!(readme.contains(&counted), "README.md lacks: {counted}");
}
