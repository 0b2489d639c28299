use assay_store::Reserve;

use crate::support::*;

/// The object identifier of challengePassword, DER content.
const CHALLENGE_PASSWORD: &[u8] = b"\x2a\x86\x48\x86\xf7\x0d\x01\x09\x07";
const SECRET: &[u8] = b"correct horse battery staple";
/// Longer than several pages, so that what is freed is not written again by chance.
const COPIES: usize = 1_000;

fn holds(content: &[u8], needle: &[u8]) -> bool {
    content.windows(needle.len()).any(|part| part == needle)
}

#[tokio::test]
async fn a_csr_that_is_stripped_leaves_nothing_behind_in_the_file() {
    let mut fixture = Fixture::new();
    for (number, csr) in [
        (1, [CHALLENGE_PASSWORD, &SECRET.repeat(COPIES)].concat()),
        (2, b"without".to_vec()),
        (3, [CHALLENGE_PASSWORD, b"unreadable"].concat()),
    ] {
        let id = format!("challenge {number}");
        fixture.challenge(&id).await;
        let mut write = pending(number, Reserve::OneTime { id });
        write.csr = csr;
        fixture.store.queue(write).await.unwrap();
    }
    fixture = fixture.reopen();
    assert!(holds(&std::fs::read(fixture.path()).unwrap(), SECRET));

    let without = |csr: &[u8]| holds(csr, SECRET).then(|| b"stripped".to_vec());
    for stripped in [1, 0] {
        assert_eq!(fixture.store.strip_csrs(without).await.unwrap(), stripped);
    }
    // At once, and not only when the store is closed.
    for entry in std::fs::read_dir(fixture.directory.path()).unwrap() {
        let path = entry.unwrap().path();
        let content = std::fs::read(&path).unwrap();
        assert!(!holds(&content, SECRET), "{}", path.display());
    }
    fixture = fixture.reopen();
    let rows = fixture.store.list_pending(None, 0).await.unwrap();
    let csrs: Vec<_> = rows.into_iter().rev().map(|row| row.csr).collect();
    assert_eq!(csrs[..2], [b"stripped".to_vec(), b"without".to_vec()]);
    assert!(holds(&csrs[2], b"unreadable"));
}
