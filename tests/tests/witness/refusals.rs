//! What a witness does not cosign, and what it does not forget.

use std::str::FromStr;

use anyhow::{Context, Result, ensure};
use assay_audit::note::{Signature, VerifierKey};
use assay_types::Timestamp;
use tokio::io::AsyncWriteExt;
use tokio::net::TcpStream;

use super::log::Log;
use super::run::{Witness, add};

#[tokio::test]
async fn a_rollback_and_a_fork_are_refused_also_after_a_kill() -> Result<()> {
    let mut witness = Witness::new().await?;
    let log = Log::new("log.example.org/one")?;
    let fork = log.forked(4);
    let url = witness.start(&log.key.to_string()).await?;
    let key = VerifierKey::from_str(&witness.vkey)?;
    let answer = add(&url, &log.body(0, 5)?).await?;
    assert_eq!(answer.status, 200, "{}", answer.text());
    let line = Signature::from_str(answer.text().trim_end())?;
    let time = key.verify_line(log.note(5)?.text(), &line)?;
    ensure!(time.is_some_and(|time| time > Timestamp::from_seconds(1_700_000_000)));

    witness.kill().await?;
    let url = witness.start(&log.key.to_string()).await?;
    for (body, status, kind, told) in [
        (log.body(0, 3)?, 409, "text/x.tlog.size", "5\n"),
        (log.body(3, 5)?, 409, "text/x.tlog.size", "5\n"),
        (log.body(5, 3)?, 400, "text/plain", "old 5"),
        (fork.body(5, 5)?, 409, "text/plain", "another tree"),
        (fork.body(5, 7)?, 422, "text/plain", "not what it was"),
        (
            Log::new("log.example.org/two")?.body(0, 5)?,
            404,
            "text/plain",
            "watches over",
        ),
        (
            Log::new("log.example.org/one")?.body(5, 7)?,
            403,
            "text/plain",
            "signed",
        ),
        ("new 5\n".to_owned(), 400, "text/plain", "old SIZE"),
        ("x".repeat(1 << 20), 413, "text/plain", "bytes"),
    ] {
        let answer = add(&url, &body).await?;
        let text = answer.text();
        assert_eq!(answer.status, status, "{text}");
        let kind_told = answer.header("content-type").unwrap_or_default();
        assert!(kind_told.starts_with(kind), "{kind_told}");
        assert!(text.contains(told), "{told}: {text}");
    }
    let answer = add(&url, &log.body(5, 7)?).await?;
    assert_eq!(answer.status, 200, "{}", answer.text());
    Ok(())
}

#[tokio::test]
async fn no_kill_makes_a_witness_forget_what_it_cosigned() -> Result<()> {
    let mut witness = Witness::new().await?;
    let log = Log::new("log.example.org/one")?;
    let mut cosigned = 0;
    for round in 1..=12 {
        let url = witness.start(&log.key.to_string()).await?;
        // What it last promised, or one that it was killed over; never less.
        let known = known(&url, &log).await?;
        assert!(known >= cosigned, "{known} after {cosigned}");
        let next = known + round;
        let body = log.body(known, next)?;
        if round % 2 == 0 {
            let answer = add(&url, &body).await?;
            assert_eq!(answer.status, 200, "{}", answer.text());
            cosigned = next;
        } else {
            // Whether it is cosigned is for the kill to decide.
            let authority = url.strip_prefix("http://").context("no URL")?;
            let mut stream = TcpStream::connect(authority).await?;
            let length = body.len();
            let request =
                format!("POST /add-checkpoint HTTP/1.0\r\nContent-Length: {length}\r\n\r\n{body}");
            stream.write_all(request.as_bytes()).await?;
        }
        witness.kill().await?;
    }
    let url = witness.start(&log.key.to_string()).await?;
    let known = known(&url, &log).await?;
    assert!(
        cosigned > 0 && known >= cosigned,
        "{known} after {cosigned}"
    );
    Ok(())
}

/// The size that a witness has cosigned last; a new one cosigns size 1.
async fn known(url: &str, log: &Log) -> Result<u64> {
    let told = add(url, &log.body(0, 1)?).await?;
    match told.status {
        200 => Ok(1),
        409 => Ok(told.text().trim_end().parse()?),
        status => anyhow::bail!("{status}: {}", told.text()),
    }
}
