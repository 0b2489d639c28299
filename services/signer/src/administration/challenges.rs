//! Challenges: issued in batches, listed without their secrets, revoked.

use std::str::FromStr;
use std::time::Duration;

use assay_audit::{Draft, Event};
use assay_decision::claims_sha256;
use assay_issuance::{DrawnChallenge, InForce};
use assay_policy::{ChallengeKind as PolicyKind, Dn, Profile, SubjectAltName};
use assay_proto::v1::{
    ChallengeInfo, ChallengeItem, IssueChallengesReply, IssueChallengesRequest, IssuedChallenge,
    ListChallengesReply, ListChallengesRequest, RevokeChallengeReply, RevokeChallengeRequest,
};
use assay_store::{ChallengeKind, ChallengeQuery, ChallengeRow, NewChallenge, Revocation};
use assay_types::Timestamp;

use super::error::AdminError;
use super::page::Paging;
use super::{AdministrationService, MAX_ITEMS, known_profile, wire};

/// Issues one challenge for each item, or a static one; all or none.
pub(super) async fn issue(
    service: &AdministrationService,
    actor: &str,
    request: IssueChallengesRequest,
) -> Result<IssueChallengesReply, AdminError> {
    let IssueChallengesRequest {
        profile,
        items,
        ttl,
        static_challenge,
    } = request;
    let in_force = service.policies.active();
    let profile = named(&in_force, &profile)?;
    check_kind(profile, &items, static_challenge)?;
    let expires_at = expiry(service, profile, wire::duration(ttl)?)?;
    let bound: Vec<Option<Bound>> = if static_challenge {
        vec![None]
    } else {
        items
            .into_iter()
            .enumerate()
            .map(|(index, item)| Bound::parse(profile, item, index).map(Some))
            .collect::<Result<_, _>>()?
    };

    let mut issued = Vec::with_capacity(bound.len());
    let mut rows = Vec::with_capacity(bound.len());
    let mut records = Vec::with_capacity(bound.len());
    for bound in bound {
        let drawn = service.challenge_key.draw(&*service.random)?;
        let row = row(
            profile,
            actor,
            &drawn,
            bound,
            service.recorder.timestamp(),
            expires_at,
        );
        records.push(record(service, &in_force, &row)?);
        rows.push(row);
        issued.push(IssuedChallenge {
            id: drawn.id,
            challenge: drawn.secret.to_string(),
        });
    }
    service.store.insert_challenges(rows, records).await?;
    Ok(IssueChallengesReply { challenges: issued })
}

/// Newest first.
pub(super) async fn list(
    service: &AdministrationService,
    _actor: &str,
    mut request: ListChallengesRequest,
) -> Result<ListChallengesReply, AdminError> {
    let page = request.page.take();
    let paging = Paging::open("list_challenges", &request, page)?;
    let ListChallengesRequest {
        page: _,
        profile,
        state,
        subject,
        san,
        serial,
        issued,
        transaction_id,
    } = request;
    let now = service.recorder.timestamp();
    let query = ChallengeQuery {
        profile: known_profile(service, profile).await?,
        status: wire::challenge_status(state)?,
        subject: wire::subject(&subject)?,
        san: wire::san(&san)?,
        serial: wire::serial(&serial)?,
        transaction_id: wire::transaction(&transaction_id)?,
        issued: wire::span(issued)?,
        now,
        before: paging.after,
        rows: paging.rows,
    };
    let found = service.store.list_challenges(query).await?;
    let challenges = found.rows.into_iter().map(|row| info(row, now));
    Ok(ListChallengesReply {
        challenges: challenges.collect(),
        page: paging.reply(found.next)?,
    })
}

/// Only an open one can be revoked.
pub(super) async fn revoke(
    service: &AdministrationService,
    actor: &str,
    request: RevokeChallengeRequest,
) -> Result<RevokeChallengeReply, AdminError> {
    let RevokeChallengeRequest { id } = request;
    let event = Event::ChallengeRevoked {
        actor: actor.into(),
        challenge_id: id.as_str().into(),
    };
    let policy_hash = service.policies.active().model_hash();
    let draft = service.recorder.draft(policy_hash, event);
    match service
        .store
        .revoke_challenge(id.clone(), vec![draft])
        .await?
    {
        Revocation::Revoked => Ok(RevokeChallengeReply {}),
        Revocation::Unchanged(state) => Err(AdminError::WrongState(format!(
            "challenge {id} is {}; only an open one can be revoked",
            state.as_str()
        ))),
        Revocation::Unknown => Err(AdminError::NotFound(format!(
            "there is no challenge {id}; `assay challenge list` shows their ids"
        ))),
    }
}

/// The profile of this name in the policy in force.
pub(super) fn named<'a>(in_force: &'a InForce, name: &str) -> Result<&'a Profile, AdminError> {
    let profile = if name.is_empty() {
        None
    } else {
        in_force.select(name)
    };
    profile.ok_or_else(|| AdminError::UnknownProfile {
        name: name.to_owned(),
        known: names(in_force),
    })
}

/// Of the profiles in force.
pub(super) fn names(in_force: &InForce) -> Vec<String> {
    let names = in_force.profiles().map(|profile| profile.name());
    names.map(ToString::to_string).collect()
}

fn check_kind(
    profile: &Profile,
    items: &[ChallengeItem],
    static_challenge: bool,
) -> Result<(), AdminError> {
    let name = profile.name();
    let wrong = |text: String| Err(AdminError::Invalid(text));
    match (profile.challenge_kind(), static_challenge) {
        (PolicyKind::OneTime, true) => wrong(format!(
            "profile {name} takes one-time challenges, each with a subject"
        )),
        (PolicyKind::Static, false) => wrong(format!(
            "profile {name} takes a static challenge and names from its inventory; issue it with --static"
        )),
        (PolicyKind::Static, true) if !items.is_empty() => {
            wrong("a static challenge has no subject: its names are the inventory's".to_owned())
        }
        (PolicyKind::OneTime, false) if items.is_empty() || items.len() > MAX_ITEMS => {
            wrong(format!(
                "one call issues 1 to {MAX_ITEMS} challenges, not {}",
                items.len()
            ))
        }
        (PolicyKind::OneTime, false) | (PolicyKind::Static, true) => Ok(()),
    }
}

/// A challenge of either kind lives as long as the policy allows, unless less is asked for.
fn expiry(
    service: &AdministrationService,
    profile: &Profile,
    ttl: Option<Duration>,
) -> Result<Timestamp, AdminError> {
    let longest = profile.challenge_ttl_max();
    let ttl = ttl.unwrap_or(longest);
    if ttl < Duration::from_secs(1) {
        let short = "a challenge lives at least 1 s; ask for more".to_owned();
        return Err(AdminError::Invalid(short));
    }
    if ttl > longest {
        return Err(AdminError::Invalid(format!(
            "a challenge of profile {} lives at most {}; ask for less",
            profile.name(),
            assay_types::duration::text(longest)
        )));
    }
    Ok(service.recorder.timestamp() + ttl)
}

/// What a one-time challenge allows: checked against the profile, so that none is issued that could never be used.
struct Bound {
    subject: Dn,
    sans: Vec<SubjectAltName>,
}

impl Bound {
    fn parse(profile: &Profile, item: ChallengeItem, index: usize) -> Result<Self, AdminError> {
        let ChallengeItem { subject, sans } = item;
        let at = |text: String| {
            AdminError::Invalid(format!("item {}, subject `{subject}`: {text}", index + 1))
        };
        let parsed = Dn::parse_rfc4514(&subject).map_err(|error| at(error.to_string()))?;
        let sans = sans
            .iter()
            .map(|san| {
                SubjectAltName::from_str(san).map_err(|error| at(format!("`{san}`: {error}")))
            })
            .collect::<Result<Vec<_>, _>>()?;
        profile
            .check_challenge(&parsed, &sans)
            .map_err(|refusal| at(format!("{}: {}", refusal.rule, refusal.detail)))?;
        Ok(Self {
            subject: parsed,
            sans,
        })
    }
}

fn row(
    profile: &Profile,
    actor: &str,
    drawn: &DrawnChallenge,
    bound: Option<Bound>,
    issued_at: Timestamp,
    expires_at: Timestamp,
) -> NewChallenge {
    let (kind, subject, sans) = match bound {
        Some(Bound { subject, sans }) => (
            ChallengeKind::OneTime,
            subject.to_string(),
            sans.iter().map(ToString::to_string).collect(),
        ),
        None => (ChallengeKind::Static, String::new(), Vec::new()),
    };
    NewChallenge {
        id: drawn.id.clone(),
        lookup: drawn.lookup,
        kind,
        profile: profile.name().to_string(),
        subject,
        sans,
        issued_at,
        expires_at: Some(expires_at),
        issued_by: actor.to_owned(),
    }
}

fn record(
    service: &AdministrationService,
    in_force: &InForce,
    row: &NewChallenge,
) -> Result<Draft, AdminError> {
    let kind = match row.kind {
        ChallengeKind::OneTime => PolicyKind::OneTime,
        ChallengeKind::Static => PolicyKind::Static,
    };
    let event = Event::ChallengeIssued {
        claims_sha256: Some(claims_sha256(kind, &row.profile, &row.subject, &row.sans)?),
        actor: row.issued_by.as_str().into(),
        challenge_id: row.id.as_str().into(),
        challenge_kind: row.kind.as_str().into(),
        profile: row.profile.as_str().into(),
        subject: match row.kind {
            ChallengeKind::OneTime => Some(row.subject.as_str().into()),
            ChallengeKind::Static => None,
        },
        expires_at: row.expires_at,
    };
    Ok(service.recorder.draft(in_force.model_hash(), event))
}

fn info(row: ChallengeRow, now: Timestamp) -> ChallengeInfo {
    let status = row.status(now);
    let ChallengeRow {
        id,
        kind,
        profile,
        subject,
        sans,
        issued_at,
        expires_at,
        issued_by,
        state: _,
        serial,
        pending_id: _,
    } = row;
    ChallengeInfo {
        id,
        profile,
        kind: wire::challenge_kind(kind).into(),
        state: wire::challenge_state(status).into(),
        subject,
        sans,
        issued_at: Some(issued_at.into()),
        expires_at: expires_at.map(Into::into),
        issued_by,
        serial: serial.map(|serial| serial.to_string()).unwrap_or_default(),
    }
}
