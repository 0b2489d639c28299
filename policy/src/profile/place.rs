//! The URLs that a profile gives its certificates, and what stands in them for the issuing CA.

use super::Profile;

/// In a URL of `crl_distribution_points` or `ca_issuers`: the subject key identifier of the issuing CA's certificate in
/// lowercase hex.
pub(crate) const CA: &str = "{ca}";
/// Longest subject key identifier, in octets, that URLs have room for: a whole SHA-512. RFC 5280 section 4.2.1.2 and
/// RFC 7093 section 2 make them of 20.
pub(crate) const MAX_KEY_IDENTIFIER: usize = 64;

impl Profile {
    /// Locations of the CRL as the file has them: `{ca}` stands for the issuing CA.
    pub fn crl_distribution_points(&self) -> &[String] {
        &self.certificate.crl_distribution_points
    }

    /// Locations of the issuer's certificate as the file has them: `{ca}` stands for the issuing CA.
    pub fn ca_issuers(&self) -> &[String] {
        &self.certificate.ca_issuers
    }

    /// Locations of an OCSP responder.
    pub fn ocsp(&self) -> &[String] {
        &self.certificate.ocsp
    }

    /// The first URL of `crl_distribution_points`, else of `ca_issuers`, that is the same whichever CA issues. Under a
    /// second CA it would lead to the wrong CRL or certificate.
    pub fn names_one_ca(&self) -> Option<&str> {
        self.crl_distribution_points()
            .iter()
            .chain(self.ca_issuers())
            .map(String::as_str)
            .find(|url| !url.contains(CA))
    }
}
