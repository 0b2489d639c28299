//! Contents of CertPoll, GetCert and GetCRL: a name and a number, no signature of their own.

use crate::asn1::{read::Element, tag, write};

/// Octets of a serial number that is looked for; some clients' have 32.
const MAX_SERIAL: usize = 64;

/// IssuerAndSubject (RFC 8894 §3.3.3): what a CertPoll asks about.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct IssuerAndSubject {
    /// Name of the CA, DER.
    pub issuer_der: Vec<u8>,
    /// Subject of the request, DER.
    pub subject_der: Vec<u8>,
}

/// IssuerAndSerialNumber (RFC 5652 §10.2.4): what GetCert and GetCRL ask about.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct IssuerAndSerial {
    /// Name of the CA, DER.
    pub issuer_der: Vec<u8>,
    /// Content octets of the INTEGER.
    pub serial: Vec<u8>,
}

impl IssuerAndSubject {
    /// DER.
    #[must_use]
    pub fn to_der(&self) -> Vec<u8> {
        write::sequence(&[&self.issuer_der, &self.subject_der])
    }
}

impl IssuerAndSerial {
    /// Reads the content of a GetCert or GetCRL. `None` where it is not one.
    #[must_use]
    pub fn parse(der: &[u8]) -> Option<Self> {
        let mut fields = Element::only(der, tag::SEQUENCE)?.fields();
        let issuer_der = fields.take(tag::SEQUENCE)?.der.to_vec();
        let serial = fields.take(tag::INTEGER)?.content.to_vec();
        fields.finish()?;
        (1..=MAX_SERIAL)
            .contains(&serial.len())
            .then_some(IssuerAndSerial { issuer_der, serial })
    }

    /// DER.
    #[must_use]
    pub fn to_der(&self) -> Vec<u8> {
        write::sequence(&[&self.issuer_der, &write::tlv(tag::INTEGER, &[&self.serial])])
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const NAME: &[u8] = b"\x30\x0f\x31\x0d\x30\x0b\x06\x03\x55\x04\x03\x0c\x04test";

    #[test]
    fn queries_read_back_and_nothing_else_does() {
        let by_subject = IssuerAndSubject {
            issuer_der: NAME.to_vec(),
            subject_der: NAME.to_vec(),
        };
        let by_serial = IssuerAndSerial {
            issuer_der: NAME.to_vec(),
            serial: vec![0x42; 17],
        };
        assert_eq!(
            IssuerAndSerial::parse(&by_serial.to_der()),
            Some(by_serial.clone())
        );
        assert_eq!(IssuerAndSerial::parse(&by_subject.to_der()), None);
        let trailing = [by_serial.to_der(), vec![0]].concat();
        assert_eq!(IssuerAndSerial::parse(&trailing), None);
    }
}
