//! Step 4, authenticated: everything that can be refused on public data, before any private-key operation.

use assay_policy::Profile;
use assay_scep::{Envelope, MessageType, Request};

use super::rule::SignerRule;
use super::{End, Pipeline, RequestContext, Standing, exceptions, reply};

/// Longest raw messageType that goes into a record; the listed ones have two digits.
const MESSAGE_TYPE_CHARS: usize = 16;

/// What a message asks for.
#[derive(Debug, Clone, Copy)]
pub(super) enum Asked {
    Certificate(Means),
    /// CertPoll.
    Progress,
    /// GetCert.
    IssuedCertificate,
    /// GetCRL.
    Crl,
}

/// How a certificate is asked for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Means {
    /// PKCSReq: a first enrolment, or a renewal where a certificate of ours signs it (RFC 8894 section 2.3).
    PkcsReq,
    /// RenewalReq: a renewal and nothing else.
    RenewalReq,
}

impl Pipeline {
    /// Message type, algorithms, CMS signature, recipient; in this order, so that an unlisted type goes no further.
    pub(super) fn authenticate<'r>(
        &self,
        profile: &Profile,
        request: &'r Request,
        context: &mut RequestContext,
    ) -> Result<(Asked, &'r Envelope), End> {
        let asked = listed(request, context)?;
        request.check_algorithms(&reply::algorithms(
            profile,
            context.generation.token.key_transports(),
            self.recorder.now(),
        ))?;
        request.verify()?;
        context.signer_key = Some(request.signer()?.spki_sha256());
        context.standing = Standing::Unauthorised;
        let envelope = request.envelope()?;
        context.needs(exceptions::of_message(request, envelope));
        envelope.recipient_index(&[&context.ra.recipient])?;
        context.needs(exceptions::of_recipient(&context.ra));
        Ok((asked, envelope))
    }
}

/// RFC 8894 section 3.2.1.2: a closed list; everything else is badRequest and is not decrypted.
fn listed(request: &Request, context: &mut RequestContext) -> Result<Asked, End> {
    let message_type = request.message_type();
    let raw = match &message_type {
        Ok(listed) => (*listed as u8).to_string(),
        Err(raw) => raw.chars().take(MESSAGE_TYPE_CHARS).collect(),
    };
    let refusal = SignerRule::MessageType.refusal(&raw.escape_debug().to_string());
    context.message_type = Some(raw);
    match message_type {
        Ok(MessageType::PkcsReq) => Ok(Asked::Certificate(Means::PkcsReq)),
        Ok(MessageType::RenewalReq) => Ok(Asked::Certificate(Means::RenewalReq)),
        Ok(MessageType::CertPoll) => Ok(Asked::Progress),
        Ok(MessageType::GetCert) => Ok(Asked::IssuedCertificate),
        Ok(MessageType::GetCrl) => Ok(Asked::Crl),
        Ok(MessageType::CertRep) | Err(_) => Err(refusal),
    }
}
