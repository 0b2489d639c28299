//! The one text that the log key signs: a checkpoint of the log that the service signs for.

use openssl::base64;
use thiserror::Error;

/// Octets of a root hash (RFC 6962, section 2.1), and of its base64.
const ROOT: usize = 32;
const ROOT_TEXT: usize = 44;

/// The rule that refused a text.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
pub(crate) enum Refusal {
    #[error("a checkpoint is three lines, each ended by a newline: origin, size and root hash")]
    Lines,
    #[error("the origin is not that of this log")]
    Origin,
    #[error("the size is not a decimal number of 64 bits without leading zeros")]
    Size,
    #[error("the root hash is not the base64 of {ROOT} octets")]
    Root,
}

/// Accepts the text of a checkpoint (C2SP tlog-checkpoint) of `origin`, without extension lines.
pub(crate) fn check(text: &[u8], origin: &str) -> Result<(), Refusal> {
    let text = std::str::from_utf8(text).map_err(|_| Refusal::Lines)?;
    let lines: Vec<&str> = text
        .strip_suffix('\n')
        .map(|lines| lines.split('\n').collect())
        .unwrap_or_default();
    let [named, size, root] = lines.as_slice() else {
        return Err(Refusal::Lines);
    };
    if *named != origin {
        return Err(Refusal::Origin);
    }
    // Written again, it is the same: no sign, no leading zero, no other digits.
    if !size
        .parse::<u64>()
        .is_ok_and(|value| value.to_string() == *size)
    {
        return Err(Refusal::Size);
    }
    if !is_root(root) {
        return Err(Refusal::Root);
    }
    Ok(())
}

fn is_root(text: &str) -> bool {
    text.len() == ROOT_TEXT
        && base64::decode_block(text).is_ok_and(|octets| {
            // Written again, it is the same: no spaces, no bits beyond the last octet.
            octets.len() == ROOT && base64::encode_block(&octets) == text
        })
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const ORIGIN: &str = "log.example.org/assay/one";
    const ZEROS: &str = "AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA=";

    fn verdict(text: &str) -> Result<(), Refusal> {
        check(text.as_bytes(), ORIGIN)
    }

    proptest! {
        #[test]
        fn every_checkpoint_of_the_log_is_accepted(size: u64, root: [u8; ROOT]) {
            let text = format!("{ORIGIN}\n{size}\n{}\n", base64::encode_block(&root));
            prop_assert_eq!(verdict(&text), Ok(()));
        }

        #[test]
        fn no_octet_can_be_put_in_or_taken_out(place in 0usize..80, octet: u8) {
            let good = format!("{ORIGIN}\n70\n{ZEROS}\n").into_bytes();
            let place = place % good.len();
            let mut longer = good.clone();
            longer.insert(place, octet);
            let mut shorter = good;
            shorter.remove(place);
            // A digit more or less makes another size, which is a checkpoint too.
            let sizes = ORIGIN.len() + 1..=ORIGIN.len() + 3;
            prop_assume!(!sizes.contains(&place));
            prop_assert!(check(&longer, ORIGIN).is_err());
            prop_assert!(check(&shorter, ORIGIN).is_err());
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
            assert_eq!(verdict(&text(origin, "7", ZEROS)), Err(Refusal::Origin));
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
            assert_eq!(
                verdict(&text(ORIGIN, size, ZEROS)),
                Err(Refusal::Size),
                "{size}"
            );
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
            assert_eq!(
                verdict(&text(ORIGIN, "7", root)),
                Err(Refusal::Root),
                "{root}"
            );
        }
        let good = text(ORIGIN, "7", ZEROS);
        for lines in [
            String::new(),
            good.trim_end().to_owned(),
            format!("{good}extension\n"),
            format!("{good}\n"),
            format!("\n{good}"),
            good.replace("\n7", ""),
        ] {
            assert_eq!(verdict(&lines), Err(Refusal::Lines), "{lines:?}");
        }
        assert_eq!(check(&[0x5a; 32], ORIGIN), Err(Refusal::Lines));
        assert_eq!(check(b"\xff\n7\n\n", ORIGIN), Err(Refusal::Lines));
        assert_eq!(verdict(&good.replace('\n', "\r\n")), Err(Refusal::Origin));
    }
}
