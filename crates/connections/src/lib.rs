//! Which connections a listener keeps: a bound in all and one for each peer.
//!
//! A full listener never waits for those that it has: it closes the connection that has been idle the longest, of the
//! peer with the most of them. A connection with a request at work is kept; where all are, the new one is refused.

mod network;

use std::collections::HashMap;
use std::hash::Hash;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use tokio::sync::Notify;

pub use network::Network;

/// How many connections there may be at a time.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Bounds {
    /// In all.
    pub all: usize,
    /// Of one peer.
    pub each: usize,
}

/// The connections of one listener, or one stage of them, by their peers.
#[derive(Debug)]
pub struct Places<K>(Arc<Shared<K>>);

#[derive(Debug)]
struct Shared<K> {
    bounds: Bounds,
    table: Mutex<Table<K>>,
}

#[derive(Debug)]
struct Table<K> {
    /// Names connections, and orders them by when they became idle.
    next: u64,
    connections: HashMap<u64, Entry<K>>,
    peers: HashMap<K, usize>,
}

#[derive(Debug)]
struct Entry<K> {
    peer: K,
    at_work: usize,
    idle_since: u64,
    closed: Arc<Notify>,
}

/// A place that was given, and whether another connection was closed for it.
#[derive(Debug)]
pub struct Taken<K: Eq + Hash> {
    /// The place.
    pub place: Place<K>,
    /// Whether an idle connection gave way.
    pub shed: bool,
}

impl<K: Eq + Hash + Clone> Places<K> {
    /// Places that are all free. A bound of 0 counts as 1.
    pub fn new(bounds: Bounds) -> Self {
        let bounds = Bounds {
            all: bounds.all.max(1),
            each: bounds.each.max(1),
        };
        Self(Arc::new(Shared {
            bounds,
            table: Mutex::new(Table {
                next: 0,
                connections: HashMap::new(),
                peers: HashMap::new(),
            }),
        }))
    }

    /// A place for a connection of `peer`, or `None` where all that could give way have a request at work. With `free_of_each`
    /// the bound of one peer does not hold for this one: a proxy, whose clients are bounded by themselves.
    pub fn take(&self, peer: K, free_of_each: bool) -> Option<Taken<K>> {
        let mut table = self.0.lock();
        let victim = if !free_of_each && table.of(&peer) >= self.0.bounds.each {
            Some(table.longest_idle(|entry| entry.peer == peer)?)
        } else if table.connections.len() >= self.0.bounds.all {
            Some(table.longest_idle(|_| true)?)
        } else {
            None
        };
        table.close(victim);
        let id = table.tick();
        let closed = Arc::new(Notify::new());
        *table.peers.entry(peer.clone()).or_default() += 1;
        table.connections.insert(
            id,
            Entry {
                peer,
                at_work: 0,
                idle_since: id,
                closed: Arc::clone(&closed),
            },
        );
        drop(table);
        let shared = Arc::clone(&self.0);
        Some(Taken {
            place: Place {
                handle: Handle { shared, id, closed },
            },
            shed: victim.is_some(),
        })
    }

    /// Connections that have a place.
    pub fn len(&self) -> usize {
        self.0.lock().connections.len()
    }

    /// Whether no connection has a place.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }
}

impl<K> Clone for Places<K> {
    fn clone(&self) -> Self {
        Self(Arc::clone(&self.0))
    }
}

impl<K> Shared<K> {
    fn lock(&self) -> MutexGuard<'_, Table<K>> {
        self.table.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl<K: Eq + Hash> Table<K> {
    fn tick(&mut self) -> u64 {
        self.next += 1;
        self.next
    }

    fn of(&self, peer: &K) -> usize {
        self.peers.get(peer).copied().unwrap_or_default()
    }

    fn close(&mut self, victim: Option<u64>) {
        if let Some(entry) = victim.and_then(|victim| self.remove(victim)) {
            entry.closed.notify_one();
        }
    }

    /// Among the connections without a request at work: of the peer with the most, the one that has been idle the longest.
    fn longest_idle(&self, may_go: impl Fn(&Entry<K>) -> bool) -> Option<u64> {
        let idle = self
            .connections
            .iter()
            .filter(|(_, entry)| entry.at_work == 0 && may_go(entry));
        let worst =
            idle.max_by_key(|(_, entry)| (self.of(&entry.peer), u64::MAX - entry.idle_since));
        worst.map(|(id, _)| *id)
    }

    fn remove(&mut self, id: u64) -> Option<Entry<K>> {
        let entry = self.connections.remove(&id)?;
        self.forget(&entry.peer);
        Some(entry)
    }

    fn forget(&mut self, peer: &K) {
        if let Some(count) = self.peers.get_mut(peer) {
            *count -= 1;
            if *count == 0 {
                self.peers.remove(peer);
            }
        }
    }
}

/// The place of one connection; dropping it frees the place.
#[derive(Debug)]
pub struct Place<K: Eq + Hash> {
    handle: Handle<K>,
}

impl<K: Eq + Hash> Place<K> {
    /// The place of a single request, which is at work from the start and frees the place at its end.
    pub fn into_work(self) -> AtWork<K> {
        let mut work = self.handle.at_work();
        work.1 = Some(self);
        work
    }

    /// A handle to the same connection, which does not keep the place.
    pub fn handle(&self) -> Handle<K> {
        self.handle.clone()
    }

    /// Counts the connection under another peer from now on: a proxy has said for whom it is. Says whether another one of
    /// that peer was closed for it, or `None` where the peer has too many and all have a request at work.
    pub fn belongs_to(&self, peer: K) -> Option<bool>
    where
        K: Clone,
    {
        let shared = &self.handle.shared;
        let mut table = shared.lock();
        let victim = if table.of(&peer) >= shared.bounds.each {
            Some(table.longest_idle(|entry| entry.peer == peer)?)
        } else {
            None
        };
        table.close(victim);
        let entry = table.connections.get_mut(&self.handle.id)?;
        let before = std::mem::replace(&mut entry.peer, peer.clone());
        table.forget(&before);
        *table.peers.entry(peer).or_default() += 1;
        Some(victim.is_some())
    }

    /// Waits until the connection is to be closed at once.
    pub async fn closed(&self) {
        self.handle.closed.notified().await;
    }

    /// The same as a future that can be kept.
    pub fn closed_owned(&self) -> impl Future<Output = ()> + Send + 'static {
        Arc::clone(&self.handle.closed).notified_owned()
    }
}

impl<K: Eq + Hash> Drop for Place<K> {
    fn drop(&mut self) {
        self.handle.shared.lock().remove(self.handle.id);
    }
}

/// A connection that has, or had, a place.
#[derive(Debug)]
pub struct Handle<K> {
    shared: Arc<Shared<K>>,
    id: u64,
    closed: Arc<Notify>,
}

impl<K> Clone for Handle<K> {
    fn clone(&self) -> Self {
        Self {
            shared: Arc::clone(&self.shared),
            id: self.id,
            closed: Arc::clone(&self.closed),
        }
    }
}

impl<K: Eq + Hash> Handle<K> {
    /// Has the connection closed at once, with all its requests.
    pub fn close(&self) {
        self.closed.notify_one();
    }

    /// Says that a request is at work; the connection is kept until the value is dropped.
    pub fn at_work(&self) -> AtWork<K> {
        if let Some(entry) = self.shared.lock().connections.get_mut(&self.id) {
            entry.at_work += 1;
        }
        AtWork(self.clone(), None)
    }
}

/// A request at work on a connection.
#[derive(Debug)]
pub struct AtWork<K: Eq + Hash>(Handle<K>, Option<Place<K>>);

impl<K: Eq + Hash> Drop for AtWork<K> {
    fn drop(&mut self) {
        let mut table = self.0.shared.lock();
        let now = table.tick();
        if let Some(entry) = table.connections.get_mut(&self.0.id) {
            entry.at_work = entry.at_work.saturating_sub(1);
            entry.idle_since = now;
        }
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    fn places(all: usize, each: usize) -> Places<&'static str> {
        Places::new(Bounds { all, each })
    }

    fn take(places: &Places<&'static str>, peer: &'static str) -> Place<&'static str> {
        places.take(peer, false).unwrap().place
    }

    async fn is_closed(place: &Place<&'static str>) -> bool {
        // Polled once: a notification is there, or it is not.
        tokio::time::timeout(Duration::ZERO, place.closed())
            .await
            .is_ok()
    }

    #[tokio::test]
    async fn a_peer_past_its_bound_gives_up_its_own_longest_idle_connection() {
        let places = places(10, 2);
        let (other, first, second) = (take(&places, "b"), take(&places, "a"), take(&places, "a"));
        drop(first.handle().at_work());
        let third = places.take("a", false).unwrap();
        assert!(third.shed);
        assert!(is_closed(&second).await, "the other has worked since");
        assert!(!is_closed(&first).await && !is_closed(&other).await);
        assert_eq!(places.len(), 3);
        drop((first, second, other, third));
        assert!(places.is_empty(), "a connection frees its place once");
        assert!(places.0.lock().peers.is_empty());
    }

    #[tokio::test]
    async fn a_full_listener_closes_an_idle_connection_of_the_peer_with_the_most() {
        let places = places(4, 3);
        let lone = take(&places, "lone");
        let many: Vec<_> = (0..3).map(|_| take(&places, "many")).collect();
        let new = places.take("new", false).unwrap();
        assert!(new.shed);
        assert!(is_closed(&many[0]).await);
        assert!(!is_closed(&lone).await && !is_closed(&many[1]).await);
    }

    #[tokio::test]
    async fn a_connection_at_work_is_kept_and_a_new_one_is_refused_where_all_are() {
        let places = places(2, 2);
        let (first, second) = (take(&places, "a"), take(&places, "b"));
        let (one, two) = (first.handle().at_work(), second.handle().at_work());
        assert!(places.take("c", false).is_none());
        drop(two);
        let third = places.take("c", false).unwrap();
        assert!(third.shed && is_closed(&second).await && !is_closed(&first).await);
        drop(one);
    }

    #[test]
    fn a_proxy_is_bounded_with_all_others_only() {
        let places = places(3, 1);
        let kept: Vec<_> = (0..3)
            .map(|_| places.take("proxy", true).unwrap())
            .collect();
        assert!(kept.iter().all(|taken| !taken.shed));
        assert!(places.take("proxy", true).unwrap().shed);
    }

    #[tokio::test]
    async fn the_client_behind_a_proxy_is_bounded_like_any_other() {
        let places = places(10, 2);
        let proxied: Vec<_> = (0..3)
            .map(|_| places.take("proxy", true).unwrap().place)
            .collect();
        let told: Vec<_> = proxied.iter().map(|place| place.belongs_to("a")).collect();
        assert_eq!(told, [Some(false), Some(false), Some(true)]);
        assert!(is_closed(&proxied[0]).await);
        let work: Vec<_> = proxied
            .iter()
            .map(|place| place.handle().at_work())
            .collect();
        assert!(places.take("a", false).is_none());
        drop((proxied, work));
        assert!(places.0.lock().peers.is_empty());
    }
}
