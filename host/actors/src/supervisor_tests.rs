use super::*;
use crate::testing::{paused, until};
use actix::{Handler, Message, ResponseFuture};
use parking_lot::Mutex;
use std::sync::atomic::{AtomicU32, Ordering};

/// Counts what it was asked, to show whether its memory is fresh.
struct Child {
    number: u32,
    num_asked: u32,
    _exit: ExitGuard,
}

impl Actor for Child {
    type Context = Context<Self>;
}

#[derive(Clone, Copy)]
enum Ask {
    /// Which child, and what it was asked before.
    Count,
    PanicNow,
    PanicInFuture,
    Stop,
}

impl Message for Ask {
    type Result = (u32, u32);
}

impl Handler<Ask> for Child {
    type Result = ResponseFuture<(u32, u32)>;

    fn handle(&mut self, message: Ask, ctx: &mut Self::Context) -> Self::Result {
        self.num_asked += 1;
        let answer = (self.number, self.num_asked);
        match message {
            Ask::Count => {}
            Ask::PanicNow => panic!("the handler panics, as the test asks"),
            Ask::PanicInFuture => {
                return Box::pin(async { panic!("the future panics, as the test asks") });
            }
            Ask::Stop => actix::ActorContext::stop(ctx),
        }
        Box::pin(std::future::ready(answer))
    }
}

struct World {
    supervised: Supervised<Child>,
    num_started: Arc<AtomicU32>,
    /// Every health seen, in order.
    seen: Arc<Mutex<Vec<Health>>>,
}

impl World {
    fn start(budget: RestartBudget) -> Self {
        let num_started = Arc::new(AtomicU32::new(0));
        let count = Arc::clone(&num_started);
        let arbiter = actix_rt::System::current().arbiter().clone();
        let supervised = supervise("child", arbiter, budget, move |exit| Child {
            number: count.fetch_add(1, Ordering::Relaxed) + 1,
            num_asked: 0,
            _exit: exit,
        });
        let seen = Arc::new(Mutex::new(vec![supervised.health()]));
        let (log, mut health) = (Arc::clone(&seen), supervised.watch_health());
        tokio::spawn(async move {
            while health.changed().await.is_ok() {
                log.lock().push(*health.borrow_and_update());
            }
        });
        Self {
            supervised,
            num_started,
            seen,
        }
    }

    async fn ask(&self, message: Ask) -> Option<(u32, u32)> {
        let address = self.supervised.address.load_full()?;
        address.send(message).await.ok()
    }

    async fn until(&self, health: Health) {
        until(|| self.supervised.health() == health).await;
    }
}

fn budget(num_restarts: u32) -> RestartBudget {
    RestartBudget {
        num_restarts,
        backoff: Duration::from_secs(1),
        max_backoff: Duration::from_secs(3),
        healthy_after: Duration::from_secs(60),
    }
}

#[test]
fn a_panic_in_a_handler_brings_a_fresh_child_at_a_new_address() {
    paused(async || {
        let world = World::start(budget(5));
        assert_eq!(world.ask(Ask::Count).await, Some((1, 1)));
        assert_eq!(world.ask(Ask::Count).await, Some((1, 2)));
        assert_eq!(world.ask(Ask::PanicNow).await, None);
        world.until(Health::BackingOff(1)).await;
        assert!(
            world.supervised.address.load().is_none(),
            "nobody is there meanwhile"
        );
        world.until(Health::Running(1)).await;
        assert_eq!(
            world.ask(Ask::Count).await,
            Some((2, 1)),
            "its memory is fresh"
        );
    });
}

#[test]
fn a_panic_in_a_handlers_future_costs_that_reply_alone() {
    paused(async || {
        let world = World::start(budget(5));
        assert_eq!(world.ask(Ask::PanicInFuture).await, None);
        assert_eq!(
            world.ask(Ask::Count).await,
            Some((1, 2)),
            "the same child, its memory kept"
        );
        assert_eq!(world.supervised.health(), Health::Running(0));
    });
}

#[test]
fn a_child_that_stops_itself_is_started_again() {
    paused(async || {
        let world = World::start(budget(5));
        world.ask(Ask::Stop).await;
        world.until(Health::Running(1)).await;
        assert_eq!(world.ask(Ask::Count).await, Some((2, 1)));
    });
}

#[test]
fn waits_grow_and_are_capped_and_the_spent_budget_is_the_end() {
    paused(async || {
        let world = World::start(budget(5));
        let started = Instant::now();
        for restarts in 1..=5 {
            world.ask(Ask::PanicNow).await;
            world.until(Health::Running(restarts)).await;
        }
        let waited = started.elapsed();
        // 1 + 2 + 3 + 3 + 3 seconds.
        assert!(
            waited >= Duration::from_secs(12) && waited < Duration::from_secs(13),
            "{waited:?}"
        );
        world.ask(Ask::PanicNow).await;
        world.until(Health::GivenUp).await;
        assert_eq!(world.ask(Ask::Count).await, None);
        assert_eq!(world.num_started.load(Ordering::Relaxed), 6);
        tokio::time::sleep(Duration::from_secs(600)).await;
        assert_eq!(world.num_started.load(Ordering::Relaxed), 6);
        let seen = world.seen.lock();
        assert!(seen.contains(&Health::BackingOff(5)));
        assert_eq!(seen.last(), Some(&Health::GivenUp));
    });
}

#[test]
fn a_healthy_spell_refills_the_budget() {
    paused(async || {
        let world = World::start(budget(2));
        for _ in 0..5 {
            world.ask(Ask::PanicNow).await;
            world.until(Health::Running(1)).await;
            tokio::time::sleep(Duration::from_secs(61)).await;
        }
        assert_eq!(world.num_started.load(Ordering::Relaxed), 6);
        // Without one it is spent.
        for restarts in 1..=2 {
            world.ask(Ask::PanicNow).await;
            world.until(Health::Running(restarts)).await;
        }
        world.ask(Ask::PanicNow).await;
        world.until(Health::GivenUp).await;
    });
}

#[test]
fn a_factory_that_panics_counts_like_a_child_that_does() {
    paused(async || {
        let num_tries = Arc::new(AtomicU32::new(0));
        let count = Arc::clone(&num_tries);
        let arbiter = actix_rt::System::current().arbiter().clone();
        let supervised = supervise("child", arbiter, budget(2), move |exit| {
            assert!(count.fetch_add(1, Ordering::Relaxed) > 1, "not yet");
            Child {
                number: 9,
                num_asked: 0,
                _exit: exit,
            }
        });
        until(|| supervised.health() == Health::Running(2)).await;
        let address = supervised.address.load_full().unwrap();
        assert_eq!(address.send(Ask::Count).await.unwrap(), (9, 1));
        assert_eq!(num_tries.load(Ordering::Relaxed), 3);
    });
}

#[test]
fn stop_is_for_good_running_or_waiting() {
    paused(async || {
        let world = World::start(budget(5));
        world.supervised.stop();
        world.until(Health::Stopped).await;
        assert_eq!(world.ask(Ask::Count).await, None);

        let world = World::start(budget(5));
        world.ask(Ask::PanicNow).await;
        world.until(Health::BackingOff(1)).await;
        world.supervised.stop();
        world.until(Health::Stopped).await;
        tokio::time::sleep(Duration::from_secs(60)).await;
        assert_eq!(world.num_started.load(Ordering::Relaxed), 1);
    });
}

#[test]
fn a_stopped_child_is_dropped_although_its_handles_live_on() {
    paused(async || {
        struct Dropped(Arc<AtomicU32>, ExitGuard);
        impl Actor for Dropped {
            type Context = Context<Self>;
        }
        impl Drop for Dropped {
            fn drop(&mut self) {
                let _ = &self.1;
                self.0.fetch_add(1, Ordering::Relaxed);
            }
        }
        let num_dropped = Arc::new(AtomicU32::new(0));
        let count = Arc::clone(&num_dropped);
        let arbiter = actix_rt::System::current().arbiter().clone();
        let supervised = supervise("child", arbiter, budget(5), move |exit| {
            Dropped(Arc::clone(&count), exit)
        });
        let handle = supervised.clone();
        tokio::task::yield_now().await;
        supervised.stop();
        until(|| num_dropped.load(Ordering::Relaxed) == 1).await;
        assert_eq!(handle.health(), Health::Stopped);
    });
}

#[test]
fn a_dead_arbiter_ends_in_giving_up_rather_than_in_silence() {
    let pool = Arc::new(
        tokio::runtime::Builder::new_multi_thread()
            .worker_threads(1)
            .enable_all()
            .build()
            .unwrap(),
    );
    crate::runtime::block_on(&pool, async {
        let shared = Arc::clone(&pool);
        let arbiter = actix_rt::Arbiter::with_tokio_rt(move || shared);
        let quick = RestartBudget {
            num_restarts: 2,
            backoff: Duration::from_millis(1),
            ..budget(2)
        };
        let supervised = supervise("child", arbiter.handle(), quick, |exit| Child {
            number: 1,
            num_asked: 0,
            _exit: exit,
        });
        let address = supervised.address.load_full().unwrap();
        address.send(Ask::Count).await.unwrap();
        drop(address);
        arbiter.stop();
        arbiter.join().unwrap();
        let mut health = supervised.watch_health();
        let given_up = health.wait_for(|health| *health == Health::GivenUp);
        tokio::time::timeout(Duration::from_secs(20), given_up)
            .await
            .expect("it waits for ever")
            .unwrap();
    });
    pool_ends(pool);
}

/// A runtime is not dropped on one of its own threads.
fn pool_ends(pool: Arc<tokio::runtime::Runtime>) {
    if let Ok(pool) = Arc::try_unwrap(pool) {
        pool.shutdown_background();
    }
}
