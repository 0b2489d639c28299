use assay_shape::{Checkpoint, CheckpointRefusal, JournalHead};
use assay_types::Hash;
use openssl::base64;
use proptest::prelude::*;

const ORIGIN: &str = "log.example.org/assay/one";
const ZEROS: &str = "AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA=";
const IDENTITY: &str = "00112233445566778899aabbccddeeff";

fn verdict(text: &str) -> Result<Checkpoint, CheckpointRefusal> {
    Checkpoint::check(text.as_bytes(), ORIGIN)
}

proptest! {
    #[test]
    fn every_checkpoint_of_the_log_is_accepted_and_written_again(
        size: u64, root: [u8; 32], journal: Option<([u8; 16], u64, [u8; 32])>
    ) {
        let journal = journal.map(|(identity, size, hash)| JournalHead {
            identity,
            size,
            hash: Hash::from(hash),
        });
        let checkpoint = Checkpoint { size, root: Hash::from(root), journal };
        let text = checkpoint.to_text(ORIGIN);
        let start = format!("{ORIGIN}\n{size}\n{}\n", base64::encode_block(&root));
        prop_assert!(text.starts_with(&start));
        prop_assert_eq!(verdict(&text), Ok(checkpoint));
    }

    #[test]
    fn no_octet_can_be_put_in_or_taken_out(place in 0usize..200, octet: u8) {
        let good = format!("{ORIGIN}\n70\n{ZEROS}\njournal {IDENTITY} 5 {ZEROS}\n").into_bytes();
        let place = place % good.len();
        let mut longer = good.clone();
        longer.insert(place, octet);
        let mut shorter = good;
        shorter.remove(place);
        // A digit more or less makes another size, which is a checkpoint too; all else has one length.
        for text in [longer, shorter] {
            if let Ok(checkpoint) = Checkpoint::check(&text, ORIGIN) {
                prop_assert_eq!(checkpoint.to_text(ORIGIN).into_bytes(), text);
                let head = checkpoint.journal.unwrap();
                prop_assert_eq!(checkpoint.root, Hash::from([0; 32]));
                prop_assert_eq!(hex::encode(head.identity), IDENTITY);
                prop_assert!(checkpoint.size != 70 || head.size != 5);
            }
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
        format!("{good}journal {IDENTITY} 5 {ZEROS}\nx\n"),
        good.replace("\n7", ""),
    ] {
        assert_eq!(verdict(&lines), Err(CheckpointRefusal::Lines), "{lines:?}");
    }
    assert_eq!(
        Checkpoint::check(&[0x5a; 32], ORIGIN),
        Err(CheckpointRefusal::Lines)
    );
    assert_eq!(
        Checkpoint::check(b"\xff\n7\n\n", ORIGIN),
        Err(CheckpointRefusal::Lines)
    );
    assert_eq!(
        verdict(&good.replace('\n', "\r\n")),
        Err(CheckpointRefusal::Origin)
    );
}

#[test]
fn the_one_extension_line_is_the_journals_head() {
    let good = format!("{ORIGIN}\n7\n{ZEROS}\n");
    let head = format!("journal {IDENTITY} 5 {ZEROS}");
    assert!(
        verdict(&format!("{good}{head}\n"))
            .unwrap()
            .journal
            .is_some()
    );
    for line in [
        String::new(),
        "extension".to_owned(),
        head.to_uppercase(),
        head.replace("aabb", "AABB"),
        head.replace(" 5 ", " 05 "),
        head.replace(" 5 ", "  5 "),
        head.replace(IDENTITY, "00"),
        head.replace(ZEROS, "AAAA"),
        format!("{head} "),
        format!("{head} x"),
        format!(" {head}"),
        format!("{head}\r"),
    ] {
        let refusal = verdict(&format!("{good}{line}\n"));
        assert_eq!(refusal, Err(CheckpointRefusal::Extension), "{line:?}");
    }
}
