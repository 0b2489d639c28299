//! Names as certificates have them, as typed values.

use std::error::Error;

use assay_policy::{Dn, DnAttribute, Rdn};
use x509_cert::name::Name;

/// A decoded Name; the error says what in it no policy could write.
pub(crate) fn of_name(name: &Name) -> Result<Dn, Box<dyn Error + Send + Sync>> {
    let mut rdns = Vec::new();
    for rdn in name.iter_rdn() {
        let mut attributes = Vec::new();
        for attribute in rdn.iter() {
            let text = std::str::from_utf8(attribute.value.value())?;
            attributes.push(DnAttribute::new(attribute.oid, text)?);
        }
        rdns.push(Rdn::new(attributes)?);
    }
    Ok(Dn::new(rdns)?)
}
