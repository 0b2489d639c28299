//! Inventories: the names that a static challenge may be used for.

use std::collections::BTreeMap;

use assay_audit::{Draft, Event, InventoryChange};
use assay_policy::{ChallengeKind, Dn, Profile};
use assay_proto::v1::{
    AddInventoryReply, AddInventoryRequest, InventoryInfo, InventoryItem as Item,
    ListInventoryReply, ListInventoryRequest, RemoveInventoryReply, RemoveInventoryRequest,
    ResetInventoryReply, ResetInventoryRequest,
};
use assay_store::{
    Change, ChangeRequest, InventoryItem, InventoryQuery, InventoryRow, RemoveOutcome,
};
use assay_types::Hash;

use super::challenges::named;
use super::error::AdminError;
use super::page::Paging;
use super::{AdministrationService, MAX_ITEMS, wire};

/// Unknown names that an error tells; of a long list the rest is counted.
const NAMES_TOLD: usize = 10;

/// Adds names, all or none.
pub(super) async fn add(
    service: &AdministrationService,
    actor: &str,
    request: AddInventoryRequest,
) -> Result<AddInventoryReply, AdminError> {
    let AddInventoryRequest { profile, items } = request;
    let in_force = service.policies.active();
    let profile = with_inventory(named(&in_force, &profile)?)?;
    check_count(items.len())?;
    let items = items
        .into_iter()
        .enumerate()
        .map(|(index, item)| parse(profile, item, index))
        .collect::<Result<Vec<_>, _>>()?;
    let (change_request, audit) = change(service, actor, profile, InventoryChange::Add);
    let change = service
        .store
        .add_inventory(change_request, items, audit)
        .await?;
    Ok(AddInventoryReply {
        added: change.changed,
        already_present: change.unchanged,
    })
}

/// Lets the static challenge issue once more for each name.
pub(super) async fn reset(
    service: &AdministrationService,
    actor: &str,
    request: ResetInventoryRequest,
) -> Result<ResetInventoryReply, AdminError> {
    let ResetInventoryRequest { profile, names } = request;
    let in_force = service.policies.active();
    let profile = with_inventory(named(&in_force, &profile)?)?;
    let names = exact_names(profile, names)?;
    let (change_request, audit) = change(service, actor, profile, InventoryChange::Reset);
    let change = service
        .store
        .reset_inventory(change_request, names, audit)
        .await?;
    Ok(ResetInventoryReply {
        reset: change.changed,
    })
}

/// Strikes names off, all or none. One that a request or an unfinished certificate holds stays until that is settled.
pub(super) async fn remove(
    service: &AdministrationService,
    actor: &str,
    request: RemoveInventoryRequest,
) -> Result<RemoveInventoryReply, AdminError> {
    let RemoveInventoryRequest { profile, names } = request;
    let in_force = service.policies.active();
    let profile = with_inventory(named(&in_force, &profile)?)?;
    let names = exact_names(profile, names)?.into_iter();
    // One name, however often and in whatever case it is given.
    let names: BTreeMap<_, _> = names
        .map(|name| (name.to_ascii_lowercase(), name))
        .collect();
    let names = names.into_values().collect();
    let (change_request, audit) = change(service, actor, profile, InventoryChange::Remove);
    let outcome = service
        .store
        .remove_inventory(change_request, names, audit)
        .await?;
    match outcome {
        RemoveOutcome::Removed(change) => Ok(RemoveInventoryReply {
            removed: change.changed,
        }),
        RemoveOutcome::Unknown { names } => Err(AdminError::NotFound(unknown(profile, &names))),
        RemoveOutcome::Reserved { name, pending_id } => Err(AdminError::WrongState(format!(
            "`{name}` is kept for request {pending_id}; deny that first, or wait until it was issued; nothing was removed"
        ))),
        RemoveOutcome::BeingIssued { name, serial } => Err(AdminError::WrongState(format!(
            "certificate {serial} for `{name}` is being finished; try again; nothing was removed"
        ))),
    }
}

/// In the order of their names, without regard to case.
pub(super) async fn list(
    service: &AdministrationService,
    _actor: &str,
    mut request: ListInventoryRequest,
) -> Result<ListInventoryReply, AdminError> {
    let page = request.page.take();
    let paging = Paging::open("list_inventory", &request, page)?;
    let ListInventoryRequest {
        page: _,
        profile,
        state,
        serial,
        added,
        name,
    } = request;
    let in_force = service.policies.active();
    let profile = with_inventory(named(&in_force, &profile)?)?;
    let name = wire::text(name).map(|name| exact_name(profile, &name).map_err(AdminError::Invalid));
    let query = InventoryQuery {
        profile: profile.name().to_string(),
        name: name.transpose()?,
        status: wire::inventory_status(state)?,
        serial: wire::serial(&serial)?,
        added: wire::span(added)?,
        after: paging.after.clone(),
        rows: paging.rows,
    };
    let found = service.store.list_inventory(query).await?;
    Ok(ListInventoryReply {
        items: found.rows.into_iter().map(info).collect(),
        page: paging.reply(found.next)?,
    })
}

fn with_inventory(profile: &Profile) -> Result<&Profile, AdminError> {
    match profile.challenge_kind() {
        ChallengeKind::Static => Ok(profile),
        ChallengeKind::OneTime => Err(AdminError::Invalid(format!(
            "profile {} has no inventory: it takes one-time challenges",
            profile.name()
        ))),
    }
}

fn check_count(count: usize) -> Result<(), AdminError> {
    if (1..=MAX_ITEMS).contains(&count) {
        Ok(())
    } else {
        Err(AdminError::Invalid(format!(
            "one call takes 1 to {MAX_ITEMS} names, not {count}"
        )))
    }
}

fn parse(profile: &Profile, item: Item, index: usize) -> Result<InventoryItem, AdminError> {
    let Item { name, spki_sha256 } = item;
    let exact = exact_name(profile, &name).map_err(|text| at(index, &name, &text))?;
    profile.inventory_subject(&exact).map_err(|refusal| {
        at(
            index,
            &name,
            &format!("{}: {}", refusal.rule, refusal.detail),
        )
    })?;
    let pin = pin(&spki_sha256).map_err(|text| at(index, &name, &text))?;
    if pin.is_none() && !profile.accept_shared_secret() {
        let text =
            "its key is not pinned, and the profile does not say accept_shared_secret = true";
        return Err(at(index, &name, text));
    }
    Ok(InventoryItem {
        name: exact,
        spki_sha256: pin,
    })
}

fn unknown(profile: &Profile, names: &[String]) -> String {
    let told: Vec<_> = names
        .iter()
        .take(NAMES_TOLD)
        .map(|name| format!("`{name}`"))
        .collect();
    let more = match names.len() - told.len() {
        0 => String::new(),
        rest => format!(" and {rest} more"),
    };
    format!(
        "the inventory of {} has no {}{more}; nothing was removed",
        profile.name(),
        told.join(", ")
    )
}

fn exact_names(profile: &Profile, names: Vec<String>) -> Result<Vec<String>, AdminError> {
    check_count(names.len())?;
    names
        .into_iter()
        .enumerate()
        .map(|(index, name)| exact_name(profile, &name).map_err(|text| at(index, &name, &text)))
        .collect()
}

/// The value itself, or that of the inventory's attribute in a whole subject.
fn exact_name(profile: &Profile, text: &str) -> Result<String, String> {
    if !text.contains('=') {
        return Ok(text.to_owned());
    }
    let subject = Dn::parse_rfc4514(text).map_err(|error| error.to_string())?;
    let (_, oid) = profile
        .inventory_rdn()
        .ok_or_else(|| "the profile takes no attribute from its inventory".to_owned())?;
    let name = subject
        .value_of(&oid)
        .ok_or_else(|| "the subject lacks the attribute that the inventory holds".to_owned())?;
    let whole = profile
        .inventory_subject(name)
        .map_err(|refusal| refusal.detail)?;
    if whole == subject {
        Ok(name.to_owned())
    } else {
        Err(format!(
            "the profile issues `{whole}`; name that, or its last value alone"
        ))
    }
}

fn pin(text: &str) -> Result<Option<Hash>, String> {
    if text.is_empty() {
        return Ok(None);
    }
    text.to_ascii_lowercase().parse().map(Some).map_err(|_| {
        "a pinned key is the SHA-256 of its DER SubjectPublicKeyInfo, 64 hex digits".to_owned()
    })
}

fn at(index: usize, name: &str, text: &str) -> AdminError {
    AdminError::Invalid(format!("item {}, `{name}`: {text}", index + 1))
}

/// What the store needs for a change, and how the change is recorded.
fn change(
    service: &AdministrationService,
    actor: &str,
    profile: &Profile,
    change: InventoryChange,
) -> (ChangeRequest, impl FnOnce(&Change) -> Draft + Send + use<>) {
    let request = ChangeRequest {
        profile: profile.name().to_string(),
        by: actor.to_owned(),
        at: service.recorder.timestamp(),
    };
    let recorder = std::sync::Arc::clone(&service.recorder);
    let policy_hash = service.policies.active().model_hash();
    let (actor, name) = (actor.to_owned(), profile.name().to_string());
    let audit = move |done: &Change| {
        let event = Event::InventoryChanged {
            actor: actor.into(),
            profile: name.into(),
            change,
            names: done.changed,
            inventory_sequence: done.head.sequence,
            inventory_hash: done.head.hash,
        };
        recorder.draft(policy_hash, event)
    };
    (request, audit)
}

fn info(row: InventoryRow) -> InventoryInfo {
    let state = wire::inventory_state(row.status());
    let InventoryRow {
        name,
        spki_sha256,
        serial,
        pending_id: _,
        added_at,
        added_by,
    } = row;
    InventoryInfo {
        name,
        spki_sha256: spki_sha256.map(String::from).unwrap_or_default(),
        serial: serial.map(|serial| serial.to_string()).unwrap_or_default(),
        added_at: Some(added_at.into()),
        added_by,
        state: state.into(),
    }
}
