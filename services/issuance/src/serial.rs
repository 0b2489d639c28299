//! Serial numbers: positive, 134 random bits, 17 octets (RFC 5280 section 4.1.2.2 allows 20).

use openssl::error::ErrorStack;

use crate::random::Random;

const SERIAL_BYTES: usize = 17;

/// Draws the content octets of a new serial number's INTEGER. The two top bits are `01`: positive, and of one length.
pub(crate) fn draw(random: &dyn Random) -> Result<Vec<u8>, ErrorStack> {
    let mut serial = vec![0; SERIAL_BYTES];
    random.fill(&mut serial)?;
    if let Some(first) = serial.first_mut() {
        *first = (*first & 0x3f) | 0x40;
    }
    Ok(serial)
}

#[cfg(test)]
mod tests {
    use crate::random::OpenSslRandom;

    #[test]
    fn serials_are_positive_of_one_length_and_differ() {
        let drawn: std::collections::BTreeSet<_> = (0..1_000)
            .map(|_| super::draw(&OpenSslRandom).unwrap())
            .collect();
        assert_eq!(drawn.len(), 1_000);
        assert!(
            drawn
                .iter()
                .all(|serial| serial.len() == 17 && (0x40..0x80).contains(&serial[0]))
        );
    }
}
