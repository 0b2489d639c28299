//! Public keys, sound and weak. No private key belongs to them: a decision sees the public part alone.

use std::sync::LazyLock;

use openssl::bn::{BigNum, BigNumContext};
use openssl::ec::{EcGroup, EcPoint, PointConversionForm};
use openssl::nid::Nid;

use crate::dice::Dice;
use crate::writer::{bit_string, integer, oid, sequence};

const RSA: &str = "1.2.840.113549.1.1.1";
const EC: &str = "1.2.840.10045.2.1";
const F4: &[u8] = &[1, 0, 1];

/// A key of every kind that a rule tells apart; the first three are sound RSA keys of 3072 bits.
pub(crate) static KEYS: LazyLock<Vec<(&'static str, Vec<u8>)>> = LazyLock::new(|| {
    let mut dice = Dice::new(3);
    let modulus = sound_modulus(&mut dice, 2048);
    let n = |bits, dice: &mut Dice| sound_modulus(dice, bits);
    let without_null = sequence(&[sequence(&[oid(RSA)]), rsa_bits(&modulus, F4)]);
    let p256 = point(Nid::X9_62_PRIME256V1, PointConversionForm::UNCOMPRESSED);
    let mut off_curve = p256.clone();
    *off_curve.last_mut().unwrap() ^= 1;
    let compressed = point(Nid::X9_62_PRIME256V1, PointConversionForm::COMPRESSED);
    let ed25519 = sequence(&[sequence(&[oid("1.3.101.112")]), bit_string(&[7; 32])]);
    let mut even = modulus.clone();
    *even.last_mut().unwrap() &= 0xfe;
    vec![
        ("RSA 3072", rsa(&n(3072, &mut dice), F4)),
        ("another RSA 3072", rsa(&n(3072, &mut dice), F4)),
        ("a third RSA 3072", rsa(&n(3072, &mut dice), F4)),
        ("RSA 2048", rsa(&modulus, F4)),
        ("RSA 4096", rsa(&n(4096, &mut dice), F4)),
        ("RSA 1024", rsa(&n(1024, &mut dice), F4)),
        ("RSA 4104", rsa(&n(4104, &mut dice), F4)),
        ("exponent 3", rsa(&n(3072, &mut dice), &[3])),
        ("exponent 65538", rsa(&n(3072, &mut dice), &[1, 0, 2])),
        ("exponent 65539", rsa(&n(3072, &mut dice), &[1, 0, 3])),
        ("exponent of 264 bits", rsa(&n(3072, &mut dice), &[1; 33])),
        ("even modulus", rsa(&even, F4)),
        ("divisible by 3", rsa(&divisible(&n(3072, &mut dice)), F4)),
        ("ROCA", rsa(&roca(), F4)),
        ("close primes", rsa(&close_primes(), F4)),
        ("RSA without NULL", without_null),
        ("P-256", ec("1.2.840.10045.3.1.7", &p256)),
        ("P-256 off its curve", ec("1.2.840.10045.3.1.7", &off_curve)),
        ("P-256 compressed", ec("1.2.840.10045.3.1.7", &compressed)),
        (
            "P-384",
            ec(
                "1.3.132.0.34",
                &point(Nid::SECP384R1, PointConversionForm::UNCOMPRESSED),
            ),
        ),
        (
            "P-521",
            ec(
                "1.3.132.0.35",
                &point(Nid::SECP521R1, PointConversionForm::UNCOMPRESSED),
            ),
        ),
        ("Ed25519", ed25519),
    ]
});

pub(crate) fn key(what: &str) -> Vec<u8> {
    let (_, spki) = KEYS.iter().find(|(name, _)| *name == what).unwrap();
    spki.clone()
}

fn rsa(modulus: &[u8], exponent: &[u8]) -> Vec<u8> {
    let algorithm = sequence(&[oid(RSA), vec![5, 0]]);
    sequence(&[algorithm, rsa_bits(modulus, exponent)])
}

fn rsa_bits(modulus: &[u8], exponent: &[u8]) -> Vec<u8> {
    bit_string(&sequence(&[integer(modulus), integer(exponent)]))
}

fn ec(curve: &str, point: &[u8]) -> Vec<u8> {
    sequence(&[sequence(&[oid(EC), oid(curve)]), bit_string(point)])
}

/// The generator of a curve.
fn point(curve: Nid, form: PointConversionForm) -> Vec<u8> {
    let mut context = BigNumContext::new().unwrap();
    let group = EcGroup::from_curve_name(curve).unwrap();
    let mut point = EcPoint::new(&group).unwrap();
    let one = BigNum::from_u32(1).unwrap();
    point.mul_generator2(&group, &one, &mut context).unwrap();
    point.to_bytes(&group, form, &mut context).unwrap()
}

/// Odd, of this length, without a factor below 752.
fn sound_modulus(dice: &mut Dice, bits: usize) -> Vec<u8> {
    let mut octets = dice.octets(bits / 8);
    octets[0] |= 0x80;
    *octets.last_mut().unwrap() |= 1;
    let mut n = BigNum::from_slice(&octets).unwrap();
    while has_small_factor(&n) {
        n.add_word(2).unwrap();
    }
    n.to_vec()
}

fn divisible(sound: &[u8]) -> Vec<u8> {
    let mut n = BigNum::from_slice(sound).unwrap();
    while n.mod_word(3).unwrap() != 0 {
        n.add_word(2).unwrap();
    }
    n.to_vec()
}

fn has_small_factor(n: &BigNum) -> bool {
    (2..752)
        .filter(|candidate| (2..*candidate).all(|divisor| candidate % divisor != 0))
        .any(|prime| n.mod_word(prime).unwrap() == 0)
}

/// A power of 65537 modulo the product of the primes up to 167, which is the fingerprint of CVE-2017-15361.
fn roca() -> Vec<u8> {
    let mut context = BigNumContext::new().unwrap();
    let mut product = BigNum::from_u32(1).unwrap();
    for prime in (3..=167).filter(|n| (2..*n).all(|d| n % d != 0)) {
        product.mul_word(prime).unwrap();
    }
    let mut power = BigNum::new().unwrap();
    let generator = BigNum::from_u32(65_537).unwrap();
    let exponent = BigNum::from_u32(1_234_567).unwrap();
    power
        .mod_exp(&generator, &exponent, &product, &mut context)
        .unwrap();
    let mut factor = BigNum::new().unwrap();
    let one = BigNum::from_u32(1).unwrap();
    factor.lshift(&one, 3072 - product.num_bits()).unwrap();
    let mut n = BigNum::new().unwrap();
    n.checked_mul(&product, &factor, &mut context).unwrap();
    n = &n + &power;
    while has_small_factor(&n) {
        n = &n + &product;
    }
    n.to_vec()
}

/// Of primes that are neighbours.
fn close_primes() -> Vec<u8> {
    let mut context = BigNumContext::new().unwrap();
    let mut octets = Dice::new(5).octets(192);
    octets[0] |= 0xc0;
    *octets.last_mut().unwrap() |= 1;
    let mut next = |mut candidate: BigNum| {
        while !candidate.is_prime(20, &mut context).unwrap() {
            candidate.add_word(2).unwrap();
        }
        candidate
    };
    let p = next(BigNum::from_slice(&octets).unwrap());
    let mut above = p.to_owned().unwrap();
    above.add_word(2).unwrap();
    let q = next(above);
    let mut n = BigNum::new().unwrap();
    let mut context = BigNumContext::new().unwrap();
    n.checked_mul(&p, &q, &mut context).unwrap();
    n.to_vec()
}
