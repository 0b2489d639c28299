//! Pages of lists: their size, and tokens that are good for the filters that they were given with.

use assay_proto::MAX_PAGE;
use assay_proto::v1::{PageReply, PageRequest};
use prost::Message;
use serde::Serialize;
use serde::de::DeserializeOwned;

use super::error::AdminError;

/// Rows of a page whose request names no size.
const DEFAULT_PAGE: u32 = 100;
/// Bytes of a token that bind it to its list and its filters: against mistakes, as who may list may list all.
const BINDING: usize = 8;
/// Longest token, in characters: a cursor is a number, or a few names.
const MAX_TOKEN: usize = 8_192;

// What a caller may ask for is what the store gives at once.
const _: () = assert!(MAX_PAGE == assay_store::MAX_ROWS);

/// The page that is asked for; its rows come after the cursor `C`.
#[derive(Debug)]
pub(super) struct Paging<C> {
    pub(super) rows: u32,
    pub(super) after: Option<C>,
    binding: [u8; BINDING],
}

impl<C: Serialize + DeserializeOwned> Paging<C> {
    /// Of the list `call`, whose request without its page is `filters`.
    pub(super) fn open(
        call: &str,
        filters: &impl Message,
        page: Option<PageRequest>,
    ) -> Result<Self, AdminError> {
        let PageRequest { size, token } = page.unwrap_or_default();
        let rows = match size {
            0 => DEFAULT_PAGE,
            1..=MAX_PAGE => size,
            size => {
                return Err(AdminError::Invalid(format!(
                    "a page has at most {MAX_PAGE} rows, not {size}; ask for the next page by its token"
                )));
            }
        };
        let binding = binding(call, filters);
        Ok(Self {
            rows,
            after: (!token.is_empty())
                .then(|| read(&token, &binding))
                .transpose()?,
            binding,
        })
    }

    /// Where the list continues, or that it does not.
    pub(super) fn reply(&self, next: Option<C>) -> Result<Option<PageReply>, AdminError> {
        let token = |cursor: C| {
            let cursor = serde_json::to_vec(&cursor).map_err(|e| AdminError::Damaged(e.into()))?;
            Ok::<_, AdminError>(hex::encode([&self.binding[..], &cursor].concat()))
        };
        let next_token = next.map(token).transpose()?.unwrap_or_default();
        Ok(Some(PageReply { next_token }))
    }
}

fn binding(call: &str, filters: &impl Message) -> [u8; BINDING] {
    let text = [call.as_bytes(), b"\0", &filters.encode_to_vec()].concat();
    let mut binding = [0; BINDING];
    for (octet, hashed) in binding.iter_mut().zip(openssl::sha::sha256(&text)) {
        *octet = hashed;
    }
    binding
}

fn read<C: DeserializeOwned>(token: &str, wanted: &[u8; BINDING]) -> Result<C, AdminError> {
    let wrong = || {
        AdminError::Invalid(
            "the page token is not one that this signer gave; start again without a token"
                .to_owned(),
        )
    };
    let bytes = (token.len() <= MAX_TOKEN)
        .then(|| hex::decode(token).ok())
        .flatten()
        .ok_or_else(wrong)?;
    let (found, cursor) = bytes.split_first_chunk::<BINDING>().ok_or_else(wrong)?;
    if found != wanted {
        return Err(AdminError::Invalid(
            "the page token belongs to another list or to other filters; repeat the filters that it was given with, or start again without a token"
                .to_owned(),
        ));
    }
    serde_json::from_slice(cursor).map_err(|_| wrong())
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "a test may fail by panic")]

    use assay_proto::v1::ListChallengesRequest;

    use super::*;

    fn filters(profile: &str) -> ListChallengesRequest {
        ListChallengesRequest {
            profile: profile.to_owned(),
            ..ListChallengesRequest::default()
        }
    }

    fn open(call: &str, profile: &str, size: u32, token: &str) -> Result<Paging<u64>, AdminError> {
        let page = PageRequest {
            size,
            token: token.to_owned(),
        };
        Paging::open(call, &filters(profile), Some(page))
    }

    fn refusal(result: Result<Paging<u64>, AdminError>) -> String {
        result.unwrap_err().to_string()
    }

    #[test]
    fn a_token_goes_on_where_the_page_ended_and_only_with_its_own_filters() {
        let first = open("list_challenges", "devices", 10, "").unwrap();
        assert_eq!((first.rows, first.after), (10, None));
        let token = first.reply(Some(42)).unwrap().unwrap().next_token;
        let next = open("list_challenges", "devices", 20, &token).unwrap();
        assert_eq!((next.rows, next.after), (20, Some(42)));
        for (call, profile) in [("list_challenges", "fleet"), ("list_requests", "devices")] {
            let refused = refusal(open(call, profile, 10, &token));
            assert!(refused.contains("other filters"), "{refused}");
        }
        assert_eq!(first.reply(None).unwrap().unwrap().next_token, "");
    }

    #[test]
    fn what_is_no_token_is_refused() {
        let first = open("list_challenges", "devices", 10, "").unwrap();
        let token = first.reply(Some(42)).unwrap().unwrap().next_token;
        let cut = token.get(..2 * BINDING).unwrap();
        for wrong in [
            "x",
            "00",
            cut,
            &format!("{token}00"),
            &"00".repeat(MAX_TOKEN),
        ] {
            let refused = refusal(open("list_challenges", "devices", 10, wrong));
            assert!(
                refused.contains("not one that this signer gave")
                    || refused.contains("other filters"),
                "{wrong}: {refused}"
            );
        }
    }

    #[test]
    fn a_page_that_would_be_cut_is_refused() {
        assert_eq!(open("list_challenges", "", 0, "").unwrap().rows, 100);
        assert_eq!(open("list_challenges", "", 1_000, "").unwrap().rows, 1_000);
        let refused = refusal(open("list_challenges", "", 1_001, ""));
        assert!(
            refused.starts_with("a page has at most 1000 rows"),
            "{refused}"
        );
    }
}
