//! What a person reads of each setting that differs.

use super::words::Words::{FromTo, Number, Ordered, Parts, Places, Quoted, Set, Switch, Time};
use super::words::{Words, bits, numbers, seconds};
use super::{names, parts};

/// Path, name and words of each setting, in the order in which differences are listed. What several settings say
/// together comes before what each of them says.
#[rustfmt::skip]
pub(super) const TABLE: &[(&str, &str, Words)] = &[
    ("name", "name", FromTo),
    ("description", "description", Quoted),
    ("version", "version", FromTo),
    ("not_before", "start (not_before)", Time { later_is_more: false }),
    ("expires", "end (expires)", Time { later_is_more: true }),
    ("ticket", "ticket", Quoted),
    ("predecessor", "predecessor", FromTo),
    ("default", "serving the SCEP paths that name no profile (default)", Switch(true)),
    ("enrolment", "challenge", Parts(parts::challenge)),
    ("enrolment.inventory", "inventory that names come from", FromTo),
    ("enrolment.accept_shared_secret", "names without a pinned key (accept_shared_secret)", Switch(true)),
    ("enrolment.challenge_ttl_max", "longest life of a challenge", Number(true, seconds)),
    ("enrolment.fail_info_text", "telling a client which rule refuses it (fail_info_text)", Switch(true)),
    ("enrolment.ignored_extensions", "asking without effect for extension", Set),
    ("enrolment.profile_per_hour", "certificates an hour", Number(true, numbers)),
    ("enrolment.name_per_hour", "certificates an hour for one name", Number(true, numbers)),
    ("algorithms.message_digests", "message hash", Set),
    ("algorithms.csr_digests", "CSR hash", Set),
    ("algorithms.content_ciphers", "content cipher", Set),
    ("algorithms.key_transports", "key transport", Set),
    ("keys", "key type", Parts(parts::keys)),
    ("keys.rsa.min_bits", "shortest RSA key", Number(false, bits)),
    ("keys.rsa.max_bits", "longest RSA key", Number(true, bits)),
    ("subject", "subject", Parts(names::subject)),
    ("san", "SAN", Parts(names::sans)),
    ("certificate.validity", "validity", Number(true, seconds)),
    ("certificate.backdate", "backdate", Number(true, seconds)),
    ("certificate.key_usage", "key usage", Set),
    ("certificate.extended_key_usage", "extended key usage", Ordered("extended key usages")),
    ("certificate.name_case", "case of names (name_case)", FromTo),
    ("certificate.policies", "certificate policy", Ordered("certificate policies")),
    ("certificate.crl_distribution_points", "place of the CRL", Places),
    ("certificate.ca_issuers", "place of the CA certificate", Places),
    ("certificate.ocsp", "place of the OCSP responder", Places),
    ("renewal", "renewal", Parts(parts::renewal)),
    ("renewal.window", "renewal window", Number(true, seconds)),
    ("renewal.grace", "renewal after the end of a certificate (grace)", Number(true, seconds)),
    ("renewal.same_key", "renewal with the same key", Switch(true)),
    ("renewal.once", "more than one renewal of a certificate (once)", Switch(false)),
    ("renewal.revoke_after", "life of a renewed certificate after its successor's issue", Number(true, seconds)),
    ("approval", "approval", Parts(parts::approval)),
    ("approval.four_eyes", "approval by one operator alone (four_eyes)", Switch(false)),
    ("approval.expires", "time for an approval", Number(true, seconds)),
    ("quirks", "quirk", Parts(parts::quirks)),
];
