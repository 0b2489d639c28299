//! `assay enrol`: a device's first certificate, and its renewals, by our own client.

mod args;
mod pending;

use std::path::{Path, PathBuf};

use assay_console::failure::{Exit, Failure, Next, OrFail, Outcome};
use assay_console::files;
use assay_console::output::{self, Output};
use assay_policy::{StringEncoding, SubjectAltName};
use assay_scep_client::{
    self as client, Credential, DeviceKey, Enrolled, EnrolmentRequest, Error, Prepared, Session,
    Verdict,
};
use openssl::x509::X509;
use serde::Serialize;
use zeroize::Zeroizing;

pub(crate) use self::args::EnrolArgs;
use self::pending::{Patience, Pending};
use crate::device::{Explain, explain};

pub(crate) async fn run(args: EnrolArgs, dir: Option<&Path>, out: Output) -> Outcome {
    let patience = Patience {
        wait: args.wait,
        interval: args.poll,
    };
    if let Some(file) = args.resume() {
        return resume(&file, patience, out).await;
    }
    for file in [&args.cert, &args.pending_file()] {
        if file.exists() {
            return Err(Failure::failed(format!("{} exists", file.display()))
                .next("nothing is overwritten: name another file with --cert"));
        }
    }
    let url = args.server.url(dir)?;
    let order = Order::of(&args)?;
    let trusted = args.server.expected_ca()?;
    let mut session = Session::open(&url, trusted).await.explained()?;
    let present = session.ca.fingerprint().to_string();
    if args.next_ca {
        session.go_over().await.explained()?;
    }
    let request = order.request(&session).await.explained()?;
    // Before the request: a certificate whose key was lost cannot be had again with a one-time challenge.
    order.keep_key()?;
    let verdict = session.ask(&request, &order.key).await;
    let verdict = verdict.explained().next(format!(
        "the server may have issued it; the key is in {}",
        order.key_file.display()
    ))?;
    let place = Place {
        certificate: args.cert.clone(),
        key: order.key_file.clone(),
        // Polls go to the present CA, until it is another.
        ca_fingerprint: present,
    };
    if trusted.is_none() && !out.is_json() {
        output::note(&format!(
            "the CA was taken on trust; next time give --ca-fingerprint {}",
            place.ca_fingerprint
        ));
    }
    match verdict {
        Verdict::Issued(enrolled) => place.keep(&enrolled, out),
        Verdict::Refused(refusal) => {
            order.drop_key()?;
            Err(explain(&Error::Refused(refusal)))
        }
        Verdict::Pending => {
            let file = args.pending_file();
            let pending = order.pending(&request, url.to_string(), &place)?;
            pending.write(&file)?;
            if patience.wait > patience.interval && !out.is_json() {
                output::note("the request waits for an operator's approval: polling");
            }
            let verdict = pending.poller()?.wait(patience).await;
            settle(verdict, &pending, &file, out)
        }
    }
}

/// Continues with a request that waited when its command ended.
async fn resume(file: &Path, patience: Patience, out: Output) -> Outcome {
    let pending = Pending::read(file)?;
    let poller = pending.poller()?;
    let verdict = match poller.poll().await {
        Ok(Verdict::Pending) => poller.wait(patience).await,
        decided => decided,
    };
    settle(verdict, &pending, file, out)
}

/// Ends the wait, unless the request waits on.
fn settle(
    verdict: client::Result<Verdict>,
    pending: &Pending,
    file: &Path,
    out: Output,
) -> Outcome {
    let shown = file.display();
    let again = format!("continue with: assay enrol --resume {shown}");
    match verdict.explained().next(again.clone())? {
        Verdict::Issued(enrolled) => {
            let place = Place {
                certificate: pending.certificate.clone(),
                key: pending.key.clone(),
                ca_fingerprint: pending.ca_fingerprint.clone(),
            };
            place.keep(&enrolled, out)?;
            std::fs::remove_file(file).or_fail(format!("cannot remove {shown}"))
        }
        // The key stays: a poll may be refused for a passing reason, and with the key its challenge would be lost.
        Verdict::Refused(refusal) => {
            let over =
                format!("if it was denied or expired, {shown} and its key are of no more use");
            Err(explain(&Error::Refused(refusal)).next(over))
        }
        Verdict::Pending => {
            if out.is_json() {
                out.json(&Waiting {
                    state: "pending",
                    pending: shown.to_string(),
                    transaction_id: &pending.transaction_id,
                    key: &pending.key,
                })?;
            }
            Err(Failure::new(
                Exit::Pending,
                "the request waits for an operator's approval",
            )
            .next(again))
        }
    }
}

/// What is asked for, and by whom.
struct Order {
    key: DeviceKey,
    key_file: PathBuf,
    signer: Signer,
}

enum Signer {
    /// By a challenge, with a transient certificate.
    Challenge(EnrolmentRequest),
    /// By the certificate to renew, whose key lies in the file.
    Renewal {
        old: Credential,
        old_key: PathBuf,
        /// Where the old key cannot decrypt the reply.
        challenge: Option<Zeroizing<String>>,
    },
}

impl Order {
    fn of(args: &EnrolArgs) -> Outcome<Self> {
        let Some((certificate, old_key)) = args.old() else {
            let subject = args.subject.as_ref();
            let subject = subject.ok_or_else(|| Failure::usage("no --subject"))?;
            let sans = (!args.sans.is_empty()).then(|| SubjectAltName::list_to_der(&args.sans));
            let wanted = EnrolmentRequest {
                subject: subject
                    .to_der(StringEncoding::Utf8)
                    .or_usage("the subject cannot be encoded")?,
                subject_alt_names: sans
                    .transpose()
                    .or_usage("the subject alternative names cannot be encoded")?,
                challenge: args.challenge()?.to_string(),
            };
            return Ok(Self {
                key: args.new_key()?,
                key_file: args.key.clone(),
                signer: Signer::Challenge(wanted),
            });
        };
        let old = Credential::read(certificate, old_key).explained()?;
        let challenge = args.renewal_challenge(&old.key)?;
        let (key, key_file) = if args.same_key {
            (old.key.clone(), old_key.to_owned())
        } else {
            (args.new_key()?, args.key.clone())
        };
        Ok(Self {
            key,
            key_file,
            signer: Signer::Renewal {
                old,
                old_key: old_key.to_owned(),
                challenge,
            },
        })
    }

    async fn request(&self, session: &Session) -> client::Result<Prepared> {
        let recipient = &session.ca.encryption;
        match &self.signer {
            Signer::Challenge(wanted) => Prepared::new(wanted, &self.key, recipient).await,
            Signer::Renewal { old, challenge, .. } => {
                let challenge = challenge.as_ref().map(|challenge| challenge.as_str());
                Prepared::renewal(old.clone(), &self.key, challenge, recipient).await
            }
        }
    }

    /// Whether the key is one that the device had before.
    fn is_old_key(&self) -> bool {
        matches!(&self.signer, Signer::Renewal { old_key, .. } if *old_key == self.key_file)
    }

    fn keep_key(&self) -> Outcome {
        if self.is_old_key() {
            return Ok(());
        }
        files::create(
            &self.key_file,
            &self.key.to_pem().explained()?,
            files::SECRET,
        )
    }

    fn drop_key(&self) -> Outcome {
        if self.is_old_key() {
            return Ok(());
        }
        std::fs::remove_file(&self.key_file).or_fail("cannot remove the refused key")
    }

    fn pending(&self, request: &Prepared, url: String, place: &Place) -> Outcome<Pending> {
        let what = "cannot write the request's certificate";
        let signer = X509::from_der(&request.signer.certificate)
            .and_then(|certificate| certificate.to_pem())
            .or_fail(what)?;
        let signer_key = match &self.signer {
            Signer::Challenge(_) => &self.key_file,
            Signer::Renewal { old_key, .. } => old_key,
        };
        Ok(Pending {
            url,
            ca_fingerprint: place.ca_fingerprint.clone(),
            transaction_id: request.transaction_id.clone(),
            signer_certificate: String::from_utf8(signer).or_fail(what)?,
            signer_key: files::absolute(signer_key)?,
            key: files::absolute(&self.key_file)?,
            certificate: files::absolute(&place.certificate)?,
        })
    }
}

/// Where the outcome goes.
struct Place {
    certificate: PathBuf,
    key: PathBuf,
    ca_fingerprint: String,
}

impl Place {
    fn keep(&self, enrolled: &Enrolled, out: Output) -> Outcome {
        let what = "cannot write the certificate";
        let pem = enrolled.certificate.to_pem().or_fail(what)?;
        files::create(&self.certificate, &pem, files::PUBLIC)?;
        let shown = Shown {
            state: "issued",
            certificate: self.certificate.display().to_string(),
            key: self.key.display().to_string(),
            transaction_id: enrolled.transaction_id.clone(),
            ca_fingerprint: self.ca_fingerprint.clone(),
            pem: String::from_utf8(pem).or_fail(what)?,
        };
        out.one(&shown, |shown| {
            vec![format!(
                "enrolled: certificate {}, key {}",
                shown.certificate, shown.key
            )]
        })
    }
}

#[derive(Debug, Serialize)]
struct Shown {
    state: &'static str,
    certificate: String,
    key: String,
    transaction_id: String,
    ca_fingerprint: String,
    pem: String,
}

/// What is told of a request that waits.
#[derive(Debug, Serialize)]
struct Waiting<'a> {
    state: &'static str,
    /// The file to continue from.
    pending: String,
    transaction_id: &'a str,
    key: &'a Path,
}
