//! One attempt at a time for any number of callers.

use std::sync::atomic::{AtomicU64, Ordering};

use tokio::sync::Mutex;

/// Makes one attempt at a time. Callers that wait while one is made share the next one and its outcome.
pub(super) struct Shared<T> {
    /// Calls of [`Shared::attempt`] so far.
    calls: AtomicU64,
    last: Mutex<Option<Attempt<T>>>,
}

/// The last attempt.
struct Attempt<T> {
    /// Calls that had been made when it began: it is the answer to all of them.
    calls: u64,
    outcome: T,
}

impl<T: Clone> Shared<T> {
    pub(super) fn new() -> Self {
        Self {
            calls: AtomicU64::new(0),
            last: Mutex::new(None),
        }
    }

    /// The outcome of an attempt that began after this call did.
    pub(super) async fn attempt(&self, make: impl AsyncFnOnce() -> T) -> T {
        let call = self.calls.fetch_add(1, Ordering::SeqCst) + 1;
        let mut last = self.last.lock().await;
        if let Some(attempt) = last.as_ref().filter(|attempt| attempt.calls >= call) {
            return attempt.outcome.clone();
        }
        let calls = self.calls.load(Ordering::SeqCst);
        let outcome = make().await;
        *last = Some(Attempt {
            calls,
            outcome: outcome.clone(),
        });
        outcome
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use tokio::sync::Semaphore;
    use tokio::task::{JoinSet, yield_now};

    use super::*;

    struct Counted {
        shared: Shared<u64>,
        attempts: AtomicU64,
        /// One attempt ends for each permit.
        may_end: Semaphore,
    }

    impl Counted {
        fn new() -> Arc<Self> {
            Arc::new(Self {
                shared: Shared::new(),
                attempts: AtomicU64::new(0),
                may_end: Semaphore::new(0),
            })
        }

        /// The number of the attempt that answers the call.
        async fn call(self: Arc<Self>) -> u64 {
            let make = async || {
                let number = self.attempts.fetch_add(1, Ordering::SeqCst) + 1;
                self.may_end.acquire().await.unwrap().forget();
                number
            };
            self.shared.attempt(make).await
        }

        async fn until_calls(&self, calls: u64) {
            while self.shared.calls.load(Ordering::SeqCst) < calls {
                yield_now().await;
            }
        }
    }

    #[tokio::test]
    async fn all_that_call_during_an_attempt_share_the_next_one() {
        let counted = Counted::new();
        let first = tokio::spawn(Arc::clone(&counted).call());
        counted.until_calls(1).await;
        let mut waiting = JoinSet::new();
        for _ in 0..32 {
            waiting.spawn(Arc::clone(&counted).call());
        }
        counted.until_calls(33).await;
        counted.may_end.add_permits(2);
        assert_eq!(first.await.unwrap(), 1);
        assert_eq!(waiting.join_all().await, [2; 32]);
        assert_eq!(counted.attempts.load(Ordering::SeqCst), 2);
    }

    #[tokio::test]
    async fn a_call_after_an_attempt_gets_one_of_its_own() {
        let counted = Counted::new();
        counted.may_end.add_permits(2);
        assert_eq!(Arc::clone(&counted).call().await, 1);
        assert_eq!(Arc::clone(&counted).call().await, 2);
    }

    #[tokio::test]
    async fn an_attempt_that_is_broken_off_answers_nobody() {
        let counted = Counted::new();
        let first = tokio::spawn(Arc::clone(&counted).call());
        counted.until_calls(1).await;
        let second = tokio::spawn(Arc::clone(&counted).call());
        counted.until_calls(2).await;
        first.abort();
        assert!(first.await.unwrap_err().is_cancelled());
        counted.may_end.add_permits(1);
        assert_eq!(second.await.unwrap(), 2);
    }
}
