use std::path::{Path, PathBuf};
use std::time::Duration;

use assay_audit::{Context, Draft, Event, Moment, Request};
use assay_store::inspect::{dump, peek};
use assay_store::{
    CertificateRow, ChallengeKind, ChallengeRow, ChangeRequest, Completion, Consume, EvidenceQuery,
    InventoryHead, InventoryItem, KeyedHash, NO_CHANGES, NewChallenge, NewIntent, Options,
    PendingWrite, PermitWrite, QuotaCharge, Reserve, StateKey, Store, TransactionKey,
};
use assay_types::{Hash, Serial, Timestamp};
use tempfile::TempDir;
use zeroize::Zeroizing;

pub(crate) const NOW: Timestamp = Timestamp::from_seconds(1_800_000_000);
pub(crate) const HOUR: Duration = secs(3_600);

pub(crate) const fn secs(seconds: u64) -> Duration {
    Duration::from_secs(seconds)
}

/// A store in a directory of its own.
pub(crate) struct Fixture {
    pub(crate) store: Store,
    pub(crate) directory: TempDir,
}

impl Fixture {
    pub(crate) fn new() -> Self {
        let directory = tempfile::tempdir().unwrap();
        let store = open(&path(directory.path()));
        Self { store, directory }
    }

    pub(crate) fn reopen(self) -> Self {
        let Self { store, directory } = self;
        drop(store);
        let store = open(&path(directory.path()));
        Self { store, directory }
    }

    pub(crate) fn path(&self) -> PathBuf {
        path(self.directory.path())
    }

    /// The state that this process has is the one that the file leads to.
    pub(crate) async fn holds(&self) {
        let state = self.store.dump().await.unwrap();
        let replayed = peek(&self.path(), &key()).unwrap();
        assert_eq!(dump(&replayed).unwrap(), state);
        assert!(!state.is_empty());
    }

    /// Past the store's own methods.
    pub(crate) fn sqlite(&self) -> rusqlite::Connection {
        rusqlite::Connection::open(self.path()).unwrap()
    }

    /// From here on no record can be appended: somebody else's is in its place.
    pub(crate) fn break_log(&self) {
        let foreign = "INSERT INTO audit (sequence, record)
             SELECT coalesce(max(sequence), 0) + 1, x'7b226b696e64223a2278227d' FROM audit";
        assert_eq!(self.sqlite().execute(foreign, []).unwrap(), 1);
    }

    /// Undoes [`Fixture::break_log`].
    pub(crate) fn mend_log(&self) {
        let foreign = "DELETE FROM audit WHERE sequence = (SELECT max(sequence) FROM audit)";
        assert_eq!(self.sqlite().execute(foreign, []).unwrap(), 1);
    }

    /// Certificate `number`, by a challenge of its own.
    pub(crate) async fn issued(&self, number: u64) {
        let consume = self.challenge(&format!("challenge {number}")).await;
        self.store.permit(permit(number, consume)).await.unwrap();
        self.store.complete(completion(number)).await.unwrap();
    }

    pub(crate) async fn certificate(&self, number: u64) -> CertificateRow {
        let row = self.store.find_certificate(serial(number)).await;
        row.unwrap().unwrap()
    }

    /// A static challenge and the names that it may be used for.
    pub(crate) async fn fleet(&self, names: &[&str]) {
        let challenge = static_challenge("fleet");
        self.store
            .insert_challenges(vec![challenge], vec![])
            .await
            .unwrap();
        let items = names
            .iter()
            .map(|name| InventoryItem {
                name: (*name).to_owned(),
                spki_sha256: None,
            })
            .collect();
        let by = ChangeRequest {
            profile: "fleet".to_owned(),
            by: "assay://operator/a".to_owned(),
            at: NOW,
        };
        self.store
            .add_inventory(by, items, |_| clock_step())
            .await
            .unwrap();
    }

    pub(crate) async fn challenge(&self, name: &str) -> Consume {
        let draft = clock_step();
        self.store
            .insert_challenges(vec![one_time(name)], vec![draft])
            .await
            .unwrap();
        Consume::OneTime {
            id: name.to_owned(),
        }
    }
}

pub(crate) fn path(directory: &Path) -> PathBuf {
    directory.join("signer.db")
}

/// The store of this file, which is made if it is not there.
pub(crate) fn open(path: &Path) -> Store {
    let open = if path.exists() {
        Store::open
    } else {
        Store::create
    };
    open(path, &key(), &Options::default()).unwrap()
}

pub(crate) fn key() -> StateKey {
    StateKey::from(Zeroizing::new([7; 32]))
}

/// The challenge with this keyed hash, as the decision on a request is told of it.
pub(crate) async fn find_challenge(store: &Store, lookup: KeyedHash) -> Option<ChallengeRow> {
    let query = EvidenceQuery {
        ca_id: "ca".to_owned(),
        signer_spki_sha256: digest("nobody"),
        csr_digest: digest("none"),
        retransmit_since: NOW,
        challenge: Some(lookup),
        inventory: None,
    };
    store.evidence(query).await.unwrap().challenge
}

/// The head of the fleet's inventory.
pub(crate) async fn inventory_head(store: &Store) -> InventoryHead {
    let heads = store.inventory_heads().await.unwrap();
    let fleet = heads.into_iter().find(|(profile, _)| profile == "fleet");
    fleet.map_or(NO_CHANGES, |(_, head)| head)
}

pub(crate) fn digest(text: &str) -> Hash {
    Hash::of(text.as_bytes())
}

pub(crate) fn keyed(text: &str) -> KeyedHash {
    (*digest(text).as_bytes()).into()
}

pub(crate) fn serial(number: u64) -> Serial {
    Serial::try_from((number + 1).to_be_bytes().as_slice()).unwrap()
}

pub(crate) fn draft(event: Event) -> Draft {
    Draft {
        context: Context {
            boot_id: "boot".into(),
            binary: "0".into(),
            config_hash: Hash::of(b""),
            policy_hash: None,
        },
        moment: Moment {
            wall_ms: NOW.into(),
            monotonic_ms: 1,
        },
        event,
        attachment: None,
    }
}

/// Some event.
pub(crate) fn clock_step() -> Draft {
    draft(Event::ClockStep { delta_ms: 1 })
}

pub(crate) fn one_time(name: &str) -> NewChallenge {
    NewChallenge {
        id: name.to_owned(),
        lookup: keyed(name),
        kind: ChallengeKind::OneTime,
        profile: "devices".to_owned(),
        subject: "CN=a,O=Example".to_owned(),
        sans: vec!["dns:a.example".to_owned()],
        issued_at: NOW,
        expires_at: Some(NOW + HOUR),
        issued_by: "assay://operator/a".to_owned(),
    }
}

pub(crate) fn static_challenge(name: &str) -> NewChallenge {
    NewChallenge {
        kind: ChallengeKind::Static,
        profile: "fleet".to_owned(),
        subject: String::new(),
        sans: Vec::new(),
        expires_at: None,
        ..one_time(name)
    }
}

pub(crate) fn request() -> Request {
    Request {
        peer: "assay://frontend/a".into(),
        peer_certificate_sha256: None,
        request_id: None,
        request_digest: Hash::of(b"request"),
        transaction_id: Some("t".into()),
        message_type: Some("19".into()),
        profile: Some("devices".into()),
        challenge_id: None,
        reply_envelope: None,
        quirks: Vec::new(),
    }
}

/// The permit of request `number`: all of it its own, but for what it consumes.
pub(crate) fn permit(number: u64, consume: Consume) -> PermitWrite {
    let profile = match &consume {
        Consume::OneTime { .. } | Consume::Renewal { .. } | Consume::Approved { .. } => "devices",
        Consume::Static { .. } => "fleet",
    };
    PermitWrite {
        transaction: TransactionKey {
            ca_id: "ca".to_owned(),
            signer_spki_sha256: digest(&format!("key {number}")),
            transaction_id: format!("transaction {number}"),
        },
        request_digest: digest(&format!("request {number}")),
        csr_digest: digest(&format!("csr {number}")),
        intent: NewIntent {
            serial: serial(number),
            tbs: format!("tbs {number}").into_bytes(),
            tbs_digest: digest(&format!("tbs {number}")),
            profile: profile.to_owned(),
            subject: format!("CN={number}"),
            sans: vec![format!("dns:{number}.example")],
            not_before: NOW,
            not_after: NOW + 24 * HOUR,
            policy_hash: digest("policy"),
            expires_at: NOW + HOUR,
            request: request(),
        },
        consume,
        renewal: assay_store::RenewalTerms::default(),
        quotas: vec![QuotaCharge {
            key: profile.to_owned(),
            window_start: NOW,
            limit: 10_000,
        }],
        now: NOW,
        retransmit_since: NOW - HOUR,
        audit: vec![clock_step()],
    }
}

/// The waiting request that [`permit`] of the same `number` would be the permit of.
pub(crate) fn pending(number: u64, reserve: Reserve) -> PendingWrite {
    let profile = match &reserve {
        Reserve::OneTime { .. } | Reserve::Renewal { .. } => "devices",
        Reserve::Static { .. } => "fleet",
    };
    PendingWrite {
        id: format!("pending {number}"),
        transaction: TransactionKey {
            ca_id: "ca".to_owned(),
            signer_spki_sha256: digest(&format!("key {number}")),
            transaction_id: format!("transaction {number}"),
        },
        request_digest: digest(&format!("request {number}")),
        csr_digest: digest(&format!("csr {number}")),
        csr: format!("csr {number}").into_bytes(),
        signer_certificate: format!("signer {number}").into_bytes(),
        message_hash: "sha256".to_owned(),
        csr_hash: "sha512".to_owned(),
        profile: profile.to_owned(),
        subject: format!("CN={number}"),
        sans: vec![format!("dns:{number}.example")],
        key_info: "RSA 2048".to_owned(),
        evidence: r#"{"fields":[]}"#.to_owned(),
        reserve,
        renewal: assay_store::RenewalTerms::default(),
        request: request(),
        cert_rep: Some(format!("pending reply {number}").into_bytes()),
        created_at: NOW,
        expires_at: NOW + 24 * HOUR,
        retransmit_since: NOW - HOUR,
        audit: vec![clock_step()],
    }
}

pub(crate) fn completion(number: u64) -> Completion {
    Completion {
        serial: serial(number),
        certificate: format!("certificate {number}").into_bytes(),
        cert_rep: Some(format!("reply {number}").into_bytes()),
        issued_at: NOW,
        audit: vec![clock_step()],
    }
}
