//! Step 2, authenticated: everything that can be refused on public data, before any private-key operation.

use assay_policy::Profile;
use assay_scep::{Envelope, FailInfo, MessageType, Request};

use super::{End, Pipeline, Trail, reply};

/// Longest raw messageType that goes into a record; the listed ones have two digits.
const MESSAGE_TYPE_CHARS: usize = 16;

impl Pipeline {
    /// Message type, algorithms, CMS signature, recipient; in this order, so that an unlisted type goes no further.
    pub(super) fn authenticate(
        &self,
        profile: &Profile,
        request: &Request,
        trail: &mut Trail,
    ) -> Result<Envelope, End> {
        let message_type = listed_type(request, trail)?;
        request.check_algorithms(&reply::algorithms(profile, self.recorder.clock.now()))?;
        request.verify()?;
        serve(message_type)?;
        let envelope = request.envelope()?;
        envelope.recipient_index(&[&self.authority.certificates.ra_enc])?;
        Ok(envelope)
    }
}

/// RFC 8894 section 3.2.1.2: a closed list; everything else is badRequest.
fn listed_type(request: &Request, trail: &mut Trail) -> Result<MessageType, End> {
    match request.message_type() {
        Ok(listed) => {
            trail.message_type = Some((listed as u8).to_string());
            Ok(listed)
        }
        Err(raw) => {
            trail.message_type = Some(raw.chars().take(MESSAGE_TYPE_CHARS).collect());
            Err(End::refused(
                FailInfo::BadRequest,
                "SCEP:message-type",
                "messageType is none of 17, 19, 20, 21, 22",
            ))
        }
    }
}

/// What this signer serves of the list. GetCACaps does not advertise `Renewal`, so what is refused here was not offered.
fn serve(message_type: MessageType) -> Result<(), End> {
    match message_type {
        MessageType::PkcsReq => Ok(()),
        MessageType::RenewalReq => Err(End::refused(
            FailInfo::BadRequest,
            "SCEP:renewal-not-offered",
            "RenewalReq is not offered; enrol with PKCSReq and a new challenge",
        )),
        MessageType::CertPoll | MessageType::GetCert | MessageType::GetCrl => Err(End::refused(
            FailInfo::BadCertId,
            "SCEP:nothing-to-query",
            "no request is pending and no certificate is served by query",
        )),
        MessageType::CertRep => Err(End::refused(
            FailInfo::BadRequest,
            "SCEP:message-type",
            "CertRep is a reply",
        )),
    }
}
