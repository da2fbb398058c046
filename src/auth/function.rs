//! The cache of tokens that a function fetches.

use std::{
    error::Error as StdError,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

use futures_util::{
    FutureExt,
    future::{BoxFuture, Shared, WeakShared},
};
use tokio::runtime::{Handle, Id};

use super::{
    provider::{AuthProvider, TokenFuture},
    secret::Secret,
};

/// Provider that caches the token of a function.
pub(super) struct CachedTokens<F> {
    fetch: F,
    state: Arc<Mutex<State>>,
}

#[derive(Default)]
struct State {
    token: Option<Secret>,
    /// The fetches in progress, one for each runtime. A fetch ends when the last caller that waits
    /// for it is dropped. Runtimes share no fetch: its sockets and timers belong to the runtime
    /// that began it, and make no progress while that runtime is idle.
    fetching: Vec<(Option<Id>, WeakShared<Fetch>)>,
}

type Fetch = BoxFuture<'static, Result<Secret, Arc<dyn StdError + Send + Sync>>>;

impl<F> CachedTokens<F> {
    pub(super) fn new(fetch: F) -> Self {
        Self { fetch, state: Arc::default() }
    }
}

impl<F, Fut, T> AuthProvider for CachedTokens<F>
where
    F: Fn() -> Fut + Send + Sync,
    Fut: Future<Output = Result<T, Box<dyn StdError + Send + Sync>>> + Send + 'static,
    T: Into<Secret>,
{
    fn token(&self) -> TokenFuture<'_> {
        Box::pin(async move {
            let fetching = {
                let runtime = Handle::try_current().ok().map(|runtime| runtime.id());
                let mut state = lock(&self.state);
                if let Some(token) = state.token.as_ref().filter(|token| !token.is_due()) {
                    return Ok(token.clone());
                }
                let here = state.fetching.iter().find(|(of, _)| *of == runtime);
                match here.and_then(|(_, fetching)| fetching.upgrade()) {
                    Some(fetching) => fetching,
                    None => begin(&mut state, runtime, &self.state, (self.fetch)()),
                }
            };
            fetching.await.map_err(|error| Box::new(error) as _)
        })
    }

    fn refused(&self, refused: &Secret) {
        lock(&self.state).token.take_if(|token| token == refused);
    }
}

/// Begins to fetch a token, for all callers in `runtime` that come before the fetch ends.
fn begin<T: Into<Secret>>(
    state: &mut State,
    runtime: Option<Id>,
    shared: &Arc<Mutex<State>>,
    fetch: impl Future<Output = Result<T, Box<dyn StdError + Send + Sync>>> + Send + 'static,
) -> Shared<Fetch> {
    let shared = Arc::clone(shared);
    let fetch = async move {
        let token = fetch.await.map(Into::into).map_err(Arc::from);
        let mut state = lock(&shared);
        state.fetching.retain(|(of, _)| *of != runtime);
        // The token of another runtime may be newer.
        let is_wanted = state.token.as_ref().is_none_or(Secret::is_due);
        match (token, &state.token) {
            // A token that no header can carry is never refused by a server, and would stay.
            (Ok(token), _) if is_wanted && token.fault().is_none() => {
                Ok(state.token.insert(token).clone())
            }
            (Err(_), Some(old)) if !old.has_expired() => Ok(old.clone()),
            (token, _) => token,
        }
    };
    let fetching = fetch.boxed().shared();
    state.fetching.retain(|(of, _)| *of != runtime);
    state.fetching.extend(fetching.downgrade().map(|weak| (runtime, weak)));
    fetching
}

fn lock(state: &Mutex<State>) -> MutexGuard<'_, State> {
    // Only the caller's function can panic under the lock, before the state changes.
    state.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
mod tests {
    use std::{
        sync::atomic::{AtomicUsize, Ordering},
        time::Duration,
    };

    use futures_util::future::join_all;
    use tokio::sync::Notify;

    use super::*;

    /// Numbered tokens, each fetched when `ready` allows.
    fn numbered(ready: &Arc<Notify>, count: &Arc<AtomicUsize>) -> impl AuthProvider + use<> {
        let (ready, count) = (Arc::clone(ready), Arc::clone(count));
        CachedTokens::new(move || {
            let ready = Arc::clone(&ready);
            let number = count.fetch_add(1, Ordering::Relaxed);
            async move {
                ready.notified().await;
                Ok(format!("token-{number}"))
            }
        })
    }

    #[tokio::test]
    async fn c144_one_fetch_serves_all_callers_and_only_a_refusal_of_its_token_begins_another() {
        let (ready, count) = (Arc::new(Notify::new()), Arc::default());
        let tokens = numbered(&ready, &count);
        let fetched = async || {
            ready.notify_one();
            let tokens = join_all((0..8).map(|_| tokens.token())).await;
            let tokens: Vec<Secret> = tokens.into_iter().map(Result::unwrap).collect();
            assert!(tokens.iter().all(|token| *token == tokens[0]));
            tokens[0].clone()
        };
        let first = fetched().await;
        assert_eq!(first, Secret::from("token-0"));
        tokens.refused(&Secret::from("another"));
        assert_eq!(tokens.token().await.unwrap(), first);
        tokens.refused(&first);
        let second = fetched().await;
        assert_eq!(second, Secret::from("token-1"));
        tokens.refused(&first);
        assert_eq!(tokens.token().await.unwrap(), second);
        assert_eq!(count.load(Ordering::Relaxed), 2);
    }

    #[tokio::test(start_paused = true)]
    async fn c274_a_token_is_fetched_anew_before_it_expires_and_one_fetch_serves_all() {
        let count = Arc::new(AtomicUsize::new(0));
        let counted = Arc::clone(&count);
        let tokens = CachedTokens::new(move || {
            let number = counted.fetch_add(1, Ordering::Relaxed);
            async move {
                tokio::task::yield_now().await;
                let token = Secret::from(format!("token-{number}"));
                Ok(token.expires_in(Duration::from_secs(100)))
            }
        });
        for (seconds, number) in [(0, 0), (89, 0), (1, 1), (89, 1), (100, 2)] {
            tokio::time::advance(Duration::from_secs(seconds)).await;
            for token in join_all((0..8).map(|_| tokens.token())).await {
                assert_eq!(token.unwrap(), Secret::from(format!("token-{number}")));
            }
        }
        assert_eq!(count.load(Ordering::Relaxed), 3);
    }

    #[tokio::test(start_paused = true)]
    async fn c274_a_token_is_used_until_it_expires_if_no_other_can_be_fetched() {
        let count = Arc::new(AtomicUsize::new(0));
        let counted = Arc::clone(&count);
        let tokens = CachedTokens::new(move || {
            let number = counted.fetch_add(1, Ordering::Relaxed);
            async move {
                if number > 0 && number < 3 {
                    return Err("the login failed".into());
                }
                Ok(Secret::from(format!("token-{number}")).expires_in(Duration::from_secs(100)))
            }
        });
        for (seconds, token) in [
            (0, Ok("token-0")),
            (95, Ok("token-0")),
            (5, Err("the login failed")),
            (0, Ok("token-3")),
            (89, Ok("token-3")),
        ] {
            tokio::time::advance(Duration::from_secs(seconds)).await;
            let fetched = tokens.token().await.map_err(|error| error.to_string());
            assert_eq!(fetched, token.map(Secret::from).map_err(str::to_owned), "{seconds}");
        }
        assert_eq!(count.load(Ordering::Relaxed), 4);
    }

    #[tokio::test]
    async fn a_fetch_survives_the_drop_of_its_first_caller_and_ends_with_its_last() {
        let (ready, count) = (Arc::new(Notify::new()), Arc::default());
        let tokens = numbered(&ready, &count);
        let (mut one, mut two) = (tokens.token(), tokens.token());
        assert!((&mut one).now_or_never().is_none() && (&mut two).now_or_never().is_none());
        drop(one);
        ready.notify_one();
        assert_eq!(two.await.unwrap(), Secret::from("token-0"));
        tokens.refused(&Secret::from("token-0"));
        let mut dropped = tokens.token();
        assert!((&mut dropped).now_or_never().is_none());
        drop(dropped);
        ready.notify_one();
        assert_eq!(tokens.token().await.unwrap(), Secret::from("token-2"));
    }

    #[test]
    fn c144_a_fetch_in_a_runtime_that_nobody_runs_holds_up_no_other_runtime() {
        use tokio::runtime::Builder;

        let runtime = || Builder::new_current_thread().enable_time().build().unwrap();
        let (idle, other) = (runtime(), runtime());
        let count = Arc::new(AtomicUsize::new(0));
        let counted = Arc::clone(&count);
        let tokens = CachedTokens::new(move || {
            let number = counted.fetch_add(1, Ordering::Relaxed);
            async move { Ok(tokio::spawn(async move { format!("token-{number}") }).await?) }
        });
        let mut first = tokens.token();
        assert!(idle.block_on(async { (&mut first).now_or_never() }).is_none());
        let token = other.block_on(async {
            let both = async { (tokens.token().await, tokens.token().await) };
            tokio::time::timeout(Duration::from_secs(9), both).await
        });
        let (second, third) = token.expect("no hang");
        assert_eq!(second.unwrap(), Secret::from("token-1"));
        assert_eq!(third.unwrap(), Secret::from("token-1"));
        assert_eq!(idle.block_on(first).unwrap(), Secret::from("token-0"));
        let cached = other.block_on(tokens.token()).unwrap();
        assert_eq!(cached, Secret::from("token-1"), "the late token replaces no newer one");
    }

    #[tokio::test]
    async fn a_failed_fetch_and_a_malformed_token_are_not_cached() {
        let count = Arc::new(AtomicUsize::new(0));
        let counted = Arc::clone(&count);
        let tokens = CachedTokens::new(move || {
            let number = counted.fetch_add(1, Ordering::Relaxed);
            async move {
                tokio::task::yield_now().await;
                match number {
                    0 => Err("the login failed".into()),
                    1 => Ok("two\nlines"),
                    _ => Ok("token"),
                }
            }
        });
        let failed = join_all([tokens.token(), tokens.token()]).await;
        for error in failed {
            assert_eq!(error.unwrap_err().to_string(), "the login failed");
        }
        assert_eq!(count.load(Ordering::Relaxed), 1, "callers share the failure");
        assert_eq!(tokens.token().await.unwrap(), Secret::from("two\nlines"));
        assert_eq!(tokens.token().await.unwrap(), Secret::from("token"));
        assert_eq!(count.load(Ordering::Relaxed), 3);
    }
}
