use assay_shape::{Checkpoint, CheckpointRefusal};
use assay_types::Hash;
use openssl::base64;
use proptest::prelude::*;

const ORIGIN: &str = "log.example.org/assay/one";
const ZEROS: &str = "AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA=";
const HEAD: &str = "assay-journal 00ff 5 AAAA=";

fn verdict(text: &str) -> Result<Checkpoint, CheckpointRefusal> {
    Checkpoint::check(text.as_bytes(), ORIGIN, Some(HEAD))
}

proptest! {
    #[test]
    fn every_checkpoint_of_the_log_is_accepted(size: u64, root: [u8; 32], has_head: bool) {
        let head = if has_head { format!("{HEAD}\n") } else { String::new() };
        let text = format!("{ORIGIN}\n{size}\n{}\n{head}", base64::encode_block(&root));
        prop_assert_eq!(verdict(&text), Ok(Checkpoint { size, root: Hash::from(root) }));
    }

    #[test]
    fn no_byte_can_be_put_in_or_taken_out(place in 0usize..200, byte: u8) {
        let good = format!("{ORIGIN}\n70\n{ZEROS}\n{HEAD}\n").into_bytes();
        let place = place % good.len();
        let mut longer = good.clone();
        longer.insert(place, byte);
        let mut shorter = good;
        shorter.remove(place);
        // A digit more or less makes another size, which is a checkpoint too.
        let sizes = ORIGIN.len() + 1..=ORIGIN.len() + 3;
        prop_assume!(!sizes.contains(&place));
        for text in [longer, shorter] {
            prop_assert!(Checkpoint::check(&text, ORIGIN, Some(HEAD)).is_err());
        }
    }
}

#[test]
fn each_part_is_refused_by_its_own_rule() {
    let text = |origin: &str, size: &str, root: &str| format!("{origin}\n{size}\n{root}\n");
    for origin in [
        "log.example.org/assay/two",
        "",
        "log.example.org/assay/one ",
    ] {
        assert_eq!(
            verdict(&text(origin, "7", ZEROS)),
            Err(CheckpointRefusal::Origin)
        );
    }
    for size in [
        "",
        "07",
        "+7",
        "-1",
        "7 ",
        "0x7",
        "18446744073709551616",
        "\u{0667}",
    ] {
        let refusal = verdict(&text(ORIGIN, size, ZEROS));
        assert_eq!(refusal, Err(CheckpointRefusal::Size), "{size}");
    }
    for root in [
        "",
        "AAAA",
        &ZEROS[..43],
        &ZEROS.replace("A=", "B="),
        &ZEROS.replace('A', "_"),
        &format!("{ZEROS}AAAA"),
        &format!(" {}", &ZEROS[1..]),
    ] {
        let refusal = verdict(&text(ORIGIN, "7", root));
        assert_eq!(refusal, Err(CheckpointRefusal::Root), "{root}");
    }
    let good = text(ORIGIN, "7", ZEROS);
    for lines in [
        String::new(),
        good.trim_end().to_owned(),
        format!("{good}{HEAD}\nx\n"),
        good.replace("\n7", ""),
    ] {
        assert_eq!(verdict(&lines), Err(CheckpointRefusal::Lines), "{lines:?}");
    }
    assert_eq!(
        Checkpoint::check(&[0x5a; 32], ORIGIN, None),
        Err(CheckpointRefusal::Lines)
    );
    assert_eq!(
        Checkpoint::check(b"\xff\n7\n\n", ORIGIN, None),
        Err(CheckpointRefusal::Lines)
    );
    assert_eq!(
        verdict(&good.replace('\n', "\r\n")),
        Err(CheckpointRefusal::Origin)
    );
}

#[test]
fn the_one_extension_line_is_the_head_of_the_services_journal() {
    let good = format!("{ORIGIN}\n7\n{ZEROS}\n");
    assert!(verdict(&format!("{good}{HEAD}\n")).is_ok());
    for line in ["", "extension", &HEAD[1..], "assay-journal 00ff 4 AAAA="] {
        let refusal = verdict(&format!("{good}{line}\n"));
        assert_eq!(refusal, Err(CheckpointRefusal::Extension), "{line:?}");
    }
    for text in [format!("{good}{HEAD}\n"), format!("{good}\n")] {
        let refusal = Checkpoint::check(text.as_bytes(), ORIGIN, None);
        assert_eq!(refusal, Err(CheckpointRefusal::Extension));
    }
}
