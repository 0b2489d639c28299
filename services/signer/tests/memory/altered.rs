//! The file changes between two requests: a program that can write it gets nothing that it did not get before.
//!
//! Each attack changes one column or the rows of one table in every row at once, and then the same things are asked for as without it. A file
//! that was changed may lead to a refusal and to nothing else. The control run makes the same changes in the state itself, which nobody but the
//! signer can do: there the same observations have to notice.

use std::collections::BTreeMap;
use std::fmt;
use std::sync::Arc;

use assay_proto::v1::OcspHash;
use assay_proto::v1::ocsp_response_reply::Outcome;
use assay_store::inspect::Table;
use openssl::x509::X509;
use tokio::sync::Semaphore;
use tokio::task::JoinSet;

use crate::support::{
    Answer, DEVICES, Device, FLEET, Message, RENEWAL_REQ, Setup, Stand, changed, serial, subject,
};
use crate::{revocation, tier};

/// Signers that are tried at a time.
const AT_A_TIME: usize = 2;

const STOPPED: &str = "a stopped profile";
const STOPPED_AFTER: &str = "a stopped profile after a start";

/// A change of all rows of a table.
#[derive(Debug, Clone)]
enum Attack {
    /// Another value in this column.
    Alter(String),
    /// No value in this column.
    Clear(String),
    /// The value of one row, the first or the last, in this column of all rows.
    Spread(String, &'static str),
    DeleteAll,
    /// Deletes one row, the first or the last.
    Delete(&'static str),
    /// The first row once more, under a key of its own.
    Double(Vec<String>),
    /// A change of the schema.
    Schema(&'static str),
}

impl fmt::Display for Attack {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Alter(column) => write!(formatter, "{column} altered"),
            Self::Clear(column) => write!(formatter, "{column} cleared"),
            Self::Spread(column, order) => write!(formatter, "{column} of one row in all, {order}"),
            Self::DeleteAll => formatter.write_str("all rows deleted"),
            Self::Delete(order) => write!(formatter, "a row deleted, {order}"),
            Self::Double(_) => formatter.write_str("a row doubled"),
            Self::Schema(sql) => formatter.write_str(sql),
        }
    }
}

impl Attack {
    fn of(table: &Table) -> Vec<Self> {
        let of_columns = table.columns.iter().flat_map(|column| {
            [
                Self::Alter(column.clone()),
                Self::Clear(column.clone()),
                Self::Spread(column.clone(), "ASC"),
                Self::Spread(column.clone(), "DESC"),
            ]
        });
        let of_rows = [
            Self::DeleteAll,
            Self::Delete("ASC"),
            Self::Delete("DESC"),
            Self::Double(table.columns.clone()),
        ];
        of_columns.chain(of_rows).collect()
    }

    fn sql(&self, table: &str) -> String {
        match self {
            Self::Alter(column) => format!(
                "UPDATE {table} SET {column} = CASE typeof({column})
                 WHEN 'integer' THEN {column} + 1000000
                 WHEN 'text' THEN {column} || '1'
                 ELSE CAST(substr({column}, 1, length({column}) - 1)
                           || iif(substr({column}, -1) = x'01', x'02', x'01') AS BLOB) END
                 WHERE {column} IS NOT NULL"
            ),
            Self::Clear(column) => {
                format!("UPDATE {table} SET {column} = NULL WHERE {column} IS NOT NULL")
            }
            Self::Spread(column, order) => format!(
                "UPDATE {table} SET {column} = other.value
                 FROM (SELECT {column} AS value FROM {table} ORDER BY 1 {order} LIMIT 1) AS other
                 WHERE {column} IS NOT other.value"
            ),
            Self::DeleteAll => format!("DELETE FROM {table}"),
            Self::Delete(order) => format!(
                "DELETE FROM {table} WHERE rowid = (SELECT rowid FROM {table} ORDER BY rowid {order} LIMIT 1)"
            ),
            Self::Double(columns) => {
                let (key, others) = columns.split_first().unwrap();
                let others: String = others.iter().map(|other| format!(", {other}")).collect();
                format!(
                    "INSERT INTO {table} ({key}{others})
                     SELECT iif(typeof({key}) = 'integer', {key} + 1000000, {key} || 'x'){others} FROM {table} LIMIT 1"
                )
            }
            Self::Schema(sql) => (*sql).to_owned(),
        }
    }
}

/// The answer to one question.
#[derive(Debug, Clone, PartialEq, Eq)]
enum Said {
    Refused,
    Answered(String),
}

impl From<Answer> for Said {
    fn from(answer: Answer) -> Self {
        match answer {
            Answer::Issued(certificate) => {
                let certificate = X509::from_der(&certificate).unwrap();
                Self::Answered(format!("issued {:?}", certificate.subject_name()))
            }
            Answer::Crl(_) => Self::Answered("a CRL".to_owned()),
            Answer::Pending => Self::Answered("pending".to_owned()),
            Answer::Refused(_) | Answer::Busy | Answer::Malformed | Answer::UnknownProfile => {
                Self::Refused
            }
        }
    }
}

type Observations = BTreeMap<&'static str, Said>;

/// A signer that has some of everything, and those who will ask it for something.
struct Scene {
    stand: Stand,
    /// Profile, device and a message that has not been sent, by the name of the question.
    messages: Vec<(&'static str, &'static str, Device, Message)>,
    /// A message that was answered, and its answer.
    replay: (Message, Vec<u8>),
    /// In force, revoked, and on hold.
    certificates: [Vec<u8>; 3],
}

impl Scene {
    async fn new() -> Self {
        Box::pin(Self::make()).await
    }

    async fn make() -> Self {
        let stand = Stand::with(Setup {
            ocsp: Some(""),
            profiles: Some(vec![
                ("devices", DEVICES.to_owned()),
                ("waiting", changed(DEVICES, "[approval]\nexpires = '1h'")),
                ("stopped", changed(DEVICES, "")),
                ("fleet", FLEET.to_owned()),
            ]),
            ..Setup::default()
        })
        .await;
        let (device, other) = (Device::new(), Device::other());
        let ca = Arc::clone(&stand.ca);
        let mut messages = Vec::new();

        // Certificates in force, revoked and on hold, and their renewals.
        let challenge = stand.challenge(&subject("first")).await;
        let first = device.pkcs_req(&ca, &subject("first"), &challenge).await;
        let reply = stand.post("devices", &first).await;
        let stored = format!("{reply:?}").into_bytes();
        let issued = device.read(&ca, &first, reply).await.certificate();
        let revoked = stand.enrol(&device, &subject("revoked")).await;
        let held = stand.enrol(&device, &subject("held")).await;
        stand.revoke(&revoked, "key-compromise").await.unwrap();
        stand.revoke(&held, "certificate-hold").await.unwrap();
        for (question, name, certificate) in [
            ("renewal", "first", &issued),
            ("renewal of a revoked certificate", "revoked", &revoked),
            ("renewal of a held certificate", "held", &held),
        ] {
            let holder = device.holding(certificate);
            let csr = other.csr(&subject(name), None);
            let message = holder.message(&ca, RENEWAL_REQ, &csr).await;
            messages.push((question, "devices", holder, message));
        }

        // Challenges: open, of another name, spent, revoked, of a stopped profile.
        for (question, profile, bound, asked) in [
            ("enrolment", "devices", "open", "open"),
            ("another name", "devices", "bound", "another"),
            (STOPPED, "stopped", "late", "late"),
        ] {
            let challenge = stand.challenge_of(profile, &subject(bound)).await;
            let message = device.pkcs_req(&ca, &subject(asked), &challenge).await;
            messages.push((question, profile, device.clone(), message));
        }
        let message = other.pkcs_req(&ca, &subject("first"), &challenge).await;
        messages.push(("a spent challenge", "devices", other.clone(), message));
        let item = assay_proto::v1::ChallengeItem {
            subject: subject("withdrawn"),
            sans: Vec::new(),
        };
        let (id, challenge) = stand.issue("devices", vec![item]).await;
        stand.revoke_challenge(&id).await;
        let message = device
            .pkcs_req(&ca, &subject("withdrawn"), &challenge)
            .await;
        messages.push(("a revoked challenge", "devices", device.clone(), message));
        assert!(stand.stop("stopped").await);

        // Requests that wait: approved, denied, undecided.
        for (question, name, decision) in [
            ("an approved request", "approved", Some(true)),
            ("a denied request", "denied", Some(false)),
            ("an undecided request", "undecided", None),
        ] {
            let challenge = stand.challenge_of("waiting", &subject(name)).await;
            let request = device.pkcs_req(&ca, &subject(name), &challenge).await;
            let answer = stand.send_to("waiting", &ca, &device, &request).await;
            assert_eq!(answer, Answer::Pending);
            if let Some(approve) = decision {
                let waiting = assay_store::PendingQuery {
                    subject: Some(subject(name)),
                    ..Default::default()
                };
                let waiting = stand.store.list_pending(waiting).await.unwrap().rows;
                stand
                    .decide("first", &waiting[0].id, approve)
                    .await
                    .unwrap();
            }
            let poll = device.poll(&ca, &request).await;
            messages.push((question, "waiting", device.clone(), poll));
        }

        // Names of an inventory: used, unused, and not in it.
        let (_, challenge) = stand.issue("fleet", Vec::new()).await;
        for name in ["used", "unused"] {
            stand.add_to_inventory("fleet", name).await;
        }
        let request = device.pkcs_req(&ca, &subject("used"), &challenge).await;
        stand
            .send_to("fleet", &ca, &device, &request)
            .await
            .certificate();
        for (question, name) in [
            ("a used name", "used"),
            ("an unused name", "unused"),
            ("an unknown name", "unknown"),
        ] {
            let message = other.pkcs_req(&ca, &subject(name), &challenge).await;
            messages.push((question, "fleet", other.clone(), message));
        }
        stand.tend().await;
        Self {
            stand,
            messages,
            replay: (first, stored),
            certificates: [issued, revoked, held],
        }
    }

    /// Whether it can be done: constraints and types keep some from it.
    async fn suffers(&self, attack: &Attack, table: &Table) -> bool {
        let sql = attack.sql(&table.name);
        let done = if table.in_file {
            self.stand.store.alter_file(sql, Vec::new()).await
        } else {
            self.stand.store.alter(sql, Vec::new()).await
        };
        // A statement on the schema changes no row.
        done.is_ok_and(|rows| rows > 0 || matches!(attack, Attack::Schema(_)))
    }

    /// Asks for everything, first of the signer as it runs, and then once more of one that starts over this state.
    async fn observe(mut self) -> Observations {
        let mut seen = Observations::new();
        let again = self.stand.post("devices", &self.replay.0).await;
        let same = format!("{again:?}").into_bytes() == self.replay.1;
        let replayed = match Device::new()
            .read(&self.stand.ca, &self.replay.0, again)
            .await
        {
            answer if same => match Said::from(answer) {
                Said::Answered(_) => Said::Answered("the stored reply".to_owned()),
                Said::Refused => Said::Refused,
            },
            answer => Said::from(answer),
        };
        seen.insert("a repeated message", replayed);
        seen.insert("policy", self.policy().await);
        for (question, certificate) in [
            "status in force",
            "status of a revoked certificate",
            "status of a held one",
        ]
        .into_iter()
        .zip(&self.certificates)
        {
            seen.insert(question, self.status(certificate).await);
        }
        for (question, profile, device, message) in &self.messages {
            let answer = self
                .stand
                .send_to(profile, &self.stand.ca, device, message)
                .await;
            seen.insert(question, Said::from(answer));
        }
        seen.insert("entries of the CRL", self.listed().await);
        let is_up = self.stand.restart().await.is_ok();
        if is_up {
            // A new CRL, of what the state says now.
            let revoked = self
                .stand
                .revoke(&self.certificates[0], "superseded")
                .await
                .is_ok();
            if revoked {
                seen.insert("entries of the next CRL", self.listed().await);
            }
            seen.insert("policy after a start", self.policy().await);
            let stopped = self.messages.iter().find(|it| it.0 == STOPPED);
            if let Some((_, profile, device, message)) = stopped {
                let answer = self.stand.send_to(profile, &self.stand.ca, device, message);
                seen.insert(STOPPED_AFTER, Said::from(answer.await));
            }
        }
        for question in [
            "entries of the next CRL",
            "policy after a start",
            STOPPED_AFTER,
        ] {
            seen.entry(question).or_insert(Said::Refused);
        }
        seen
    }

    async fn status(&self, certificate: &[u8]) -> Said {
        for hash in [OcspHash::Sha1, OcspHash::Sha256] {
            let answer = self.stand.ocsp_of(hash, certificate).await;
            if !matches!(answer, Outcome::Signed(_)) {
                return Said::Refused;
            }
        }
        let (status, ..) = self.stand.ocsp_status(certificate).await;
        Said::Answered(format!("{status:?}"))
    }

    async fn policy(&self) -> Said {
        let Ok(active) = self.stand.store.active_policy().await else {
            return Said::Refused;
        };
        let Ok(status) = self.stand.try_status().await else {
            return Said::Refused;
        };
        Said::Answered(format!(
            "{:?} {:?} {:?}",
            active.map(|active| active.info.number),
            status.policy_number,
            status.policy_hash
        ))
    }

    /// The revoked and the held certificate as a CRL has them.
    async fn listed(&self) -> Said {
        let Ok(public) = self.stand.try_public_info().await else {
            return Said::Refused;
        };
        let crl = self.stand.crl_in(public).await;
        let listed = self.certificates[1..].iter().map(|certificate| {
            let date = crl
                .tbs_cert_list
                .revoked_certificates
                .iter()
                .flatten()
                .find(|entry| entry.serial_number.as_bytes() == serial(certificate).as_bytes())
                .map(|entry| entry.revocation_date);
            format!("{:?} {date:?}", revocation::reason(&crl, certificate))
        });
        let listed = listed.collect::<Vec<_>>().join(", ");
        Said::Answered(format!("{} {listed}", revocation::number(&crl)))
    }
}

/// The effect of an attack.
#[derive(Debug, PartialEq, Eq)]
enum Effect {
    /// It could not be done.
    Impossible,
    /// Everything was as without it.
    Nothing,
    /// These were refused, and all else was as without it.
    Refused(Vec<&'static str>),
    /// These were answered in another way, or by a panic where there is no question.
    Answered(Vec<String>),
}

async fn effect(attack: Attack, table: Table, honest: Arc<Observations>) -> Effect {
    let scene = Scene::new().await;
    if !scene.suffers(&attack, &table).await {
        return Effect::Impossible;
    }
    let seen = scene.observe().await;
    let other: Vec<_> = honest
        .iter()
        .filter(|(question, said)| seen[*question] != **said)
        .collect();
    let answered = |question: &&'static str| match &seen[question] {
        Said::Refused => None,
        Said::Answered(answer) => Some(format!("{question}: {answer}")),
    };
    let answered: Vec<String> = other
        .iter()
        .filter_map(|(question, _)| answered(question))
        .collect();
    if other.is_empty() {
        Effect::Nothing
    } else if answered.is_empty() {
        Effect::Refused(other.into_iter().map(|(question, _)| *question).collect())
    } else {
        Effect::Answered(answered)
    }
}

/// Tries all attacks, each on a signer of its own.
async fn effects(attacks: Vec<(Table, Attack)>) -> Vec<(Table, Attack, Effect)> {
    let honest = Arc::new(Scene::new().await.observe().await);
    let turns = Arc::new(Semaphore::new(AT_A_TIME));
    let mut tried = JoinSet::new();
    for (table, attack) in attacks {
        let (honest, turns) = (Arc::clone(&honest), Arc::clone(&turns));
        tried.spawn(async move {
            let _turn = turns.acquire().await.unwrap();
            let (change, of) = (attack.clone(), table.clone());
            let handle = tokio::runtime::Handle::current();
            let tried = move || handle.block_on(effect(change, of, honest));
            let effect = tokio::task::spawn_blocking(tried).await;
            let effect = effect.unwrap_or_else(|panic| Effect::Answered(vec![panic.to_string()]));
            (table, attack, effect)
        });
    }
    tried.join_all().await
}

fn counts(effects: &[(Table, Attack, Effect)]) -> [usize; 4] {
    let mut counts = [0; 4];
    for (.., effect) in effects {
        counts[match effect {
            Effect::Impossible => 0,
            Effect::Nothing => 1,
            Effect::Refused(_) => 2,
            Effect::Answered(_) => 3,
        }] += 1;
    }
    counts
}

#[tokio::test]
async fn an_honest_signer_answers_the_questions() {
    let seen = Scene::new().await.observe().await;
    let refused = seen.iter().filter(|(_, said)| **said == Said::Refused);
    let refused: Vec<_> = refused.map(|(question, _)| *question).collect();
    assert_eq!(
        refused,
        [
            "a denied request",
            "a revoked challenge",
            "a spent challenge",
            STOPPED,
            STOPPED_AFTER,
            "a used name",
            "an unknown name",
            "another name",
            "renewal of a held certificate",
            "renewal of a revoked certificate",
        ]
    );
    let answers = [
        ("a repeated message", "the stored reply"),
        ("an approved request", "issued"),
        ("an undecided request", "pending"),
        ("an unused name", "issued"),
        ("enrolment", "issued"),
        ("renewal", "issued"),
        ("status in force", "Good"),
        ("status of a held one", "Revoked(OcspRevokedStatus(6))"),
        (
            "status of a revoked certificate",
            "Revoked(OcspRevokedStatus(1))",
        ),
    ];
    for (question, answer) in answers {
        assert!(
            format!("{:?}", seen[question]).contains(answer),
            "{seen:#?}"
        );
    }
    for question in ["entries of the CRL", "entries of the next CRL"] {
        assert!(
            format!("{:?}", seen[question]).contains("Some([10, 1, 1])"),
            "{seen:#?}"
        );
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn no_change_of_the_file_between_two_requests_gets_an_answer_that_was_refused() {
    const SCHEMAS: [&str; 4] = [
        "CREATE TABLE file.stops (profile TEXT)",
        "CREATE VIEW file.certificates AS SELECT 1 AS serial",
        "CREATE TRIGGER file.late AFTER INSERT ON audit BEGIN DELETE FROM evidence; END",
        "DROP TABLE file.evidence",
    ];
    let tables = Scene::new().await.stand.store.tables().await.unwrap();
    let in_file: Vec<_> = tables.into_iter().filter(|table| table.in_file).collect();
    let mut attacks = Vec::new();
    for table in &in_file {
        attacks.extend(
            Attack::of(table)
                .into_iter()
                .map(|attack| (table.clone(), attack)),
        );
    }
    let schemas = SCHEMAS.map(|sql| (in_file[0].clone(), Attack::Schema(sql)));
    attacks.extend(schemas);
    let stride = tier::size("changed columns of the file: stride");
    let attacks = attacks.into_iter().step_by(stride).collect();
    let effects = effects(attacks).await;
    let [impossible, nothing, refused, answered] = counts(&effects);
    println!(
        "{} tables of the file: {nothing} changes without effect, {refused} refused, {answered} answered otherwise, {impossible} \
         that the file does not allow",
        in_file.len()
    );
    let wrong: Vec<_> = effects
        .iter()
        .filter(|(.., effect)| matches!(effect, Effect::Answered(_)))
        .map(|(table, attack, effect)| format!("{}, {attack}: {effect:?}", table.name))
        .collect();
    assert!(wrong.is_empty(), "{wrong:#?}");
    assert!(refused > 0);
    for (_, attack, effect) in &effects {
        let is_schema = matches!(attack, Attack::Schema(_));
        assert!(
            !is_schema || matches!(effect, Effect::Refused(_)),
            "{attack}: {effect:?}"
        );
    }
}

/// The observations see what decides: without the separation of state and file, the same changes lead to other answers.
#[tokio::test(flavor = "multi_thread")]
async fn the_same_changes_of_the_state_itself_are_seen() {
    let column = |name: &str| name.to_owned();
    let decisive = [
        ("certificates", Attack::Clear(column("revoked_at"))),
        ("challenges", Attack::Alter(column("subject"))),
        ("crls", Attack::DeleteAll),
        ("inventory", Attack::Clear(column("serial"))),
        ("ocsp_responses", Attack::DeleteAll),
        ("pending", Attack::Alter(column("transaction_id"))),
        ("stops", Attack::DeleteAll),
    ];
    let tables = Scene::new().await.stand.store.tables().await.unwrap();
    let in_state: Vec<_> = tables.into_iter().filter(|table| !table.in_file).collect();
    let table = |name: &str| in_state.iter().find(|table| table.name == name).unwrap();
    let seen = decisive.map(|(name, attack)| (table(name).clone(), attack));
    for (table, attack, effect) in effects(seen.into()).await {
        let is_seen = matches!(effect, Effect::Refused(_) | Effect::Answered(_));
        assert!(is_seen, "{}, {attack}: {effect:?}", table.name);
    }
    if !tier::is_whole() {
        return;
    }
    let all = in_state.iter().flat_map(|table| {
        let attacks = Attack::of(table).into_iter();
        attacks.map(|attack| (table.clone(), attack))
    });
    let effects = effects(all.collect()).await;
    let [impossible, nothing, refused, answered] = counts(&effects);
    println!(
        "{} tables of the state: {nothing} changes without effect, {refused} refused, {answered} answered otherwise, {impossible} \
         that the state does not allow",
        in_state.len()
    );
    assert!(answered > 0);
}
