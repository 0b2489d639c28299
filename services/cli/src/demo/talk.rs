//! What the demo says to the person who started it.

use assay_console::failure::Outcome;
use assay_console::output::{Output, strong};
use assay_operator::services::Service;

use super::home::Home;
use super::ready::ReadyFile;
use super::start::Started;

/// The enrolled device, where everything is, and what to try next.
pub(super) fn welcome(started: &Started, ready: &ReadyFile, home: &Home, out: Output) -> Outcome {
    let dir = home.installation.root().display();
    let url = ready.url();
    let signer = &started.signer.ready;
    let assay = invoked_as();
    out.line(&format!(
        "{heading} in {dir}

  token     {label}, {module}
  HSM       pid {hsm}: it holds the PIN; {users}
  signer    pid {signer}, Administration {administration}
  frontend  pid {frontend}, SCEP {url}
  policy    proposed and approved with two keys made on the spot (approvers/): for the demo only
  enrolled  {subject}, certificate {certificate}

{pem}
{url_heading}  {url}

{next} with strongSwan (apt-get install strongswan-pki libstrongswan-standard-plugins libstrongswan-extra-plugins), in another terminal:

  cd {dir}/devices
  pki --gen --type rsa --size 2048 > box-1.key
  pki --scep --url {url} --in box-1.key --dn 'O=Example, CN=box-1' \\
      --password \"$({assay} --dir {dir} challenge issue --profile devices --subject 'CN=box-1,O=Example')\" \\
      --cacert-enc ../certificates/ra-enc.pem --cacert-sig ../certificates/ra-sign.pem \\
      --cacert ../certificates/ca.pem --cacert ../certificates/root.pem --outform pem > box-1.pem
  openssl verify -CAfile ../certificates/root.pem -untrusted ../certificates/ca.pem box-1.pem

and with assay:

  {assay} --dir {dir} cert list
  {assay} --dir {dir} audit list
  {assay} --dir {dir} status

Logs are in {dir}/log. Ctrl-C stops; the directory stays.",
        heading = strong("Assay demo"),
        label = started.mark.token_label,
        module = started.mark.module.display(),
        hsm = started.hsm.ready.pid,
        users = if started.mark.own_users {
            format!("user {} runs it, user {} the signer", Service::Hsm.user(), Service::Signer.user())
        } else {
            "here one user runs it and the signer, so that it guards nothing from that user".to_owned()
        },
        signer = signer.pid,
        administration = signer.administration.map(|address| address.to_string()).unwrap_or_default(),
        frontend = started.frontend.ready.pid,
        subject = started.device.subject,
        certificate = started.device.certificate.display(),
        pem = started.device.pem,
        url_heading = strong("SCEP URL"),
        next = strong("Try next"),
    ))
}

/// What starts this program in another terminal: a build tree is on nobody's PATH.
fn invoked_as() -> String {
    std::env::current_exe().map_or_else(|_| "assay".to_owned(), |path| path.display().to_string())
}
