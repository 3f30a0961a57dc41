use super::*;
use crate::supervisor::{ExitGuard, Health, RestartBudget, supervise};
use crate::testing::{paused, until};
use actix::{Context, ResponseFuture};
use futures::future::join_all;

/// Answers when the gate lets it.
struct Gated {
    gate: Arc<Semaphore>,
    _exit: ExitGuard,
}

impl Actor for Gated {
    type Context = Context<Self>;
}

struct Wait;

impl Message for Wait {
    type Result = u32;
}

struct Panic;

impl Message for Panic {
    type Result = u32;
}

impl Handler<Wait> for Gated {
    type Result = ResponseFuture<u32>;

    fn handle(&mut self, _: Wait, _: &mut Self::Context) -> Self::Result {
        let gate = Arc::clone(&self.gate);
        Box::pin(async move {
            let _ = gate.acquire().await;
            7
        })
    }
}

impl Handler<Panic> for Gated {
    type Result = u32;

    fn handle(&mut self, _: Panic, _: &mut Self::Context) -> u32 {
        panic!("as the test asks")
    }
}

fn mailbox(num_permits: usize) -> (Mailbox<Gated>, Arc<Semaphore>) {
    let gate = Arc::new(Semaphore::new(0));
    let shared = Arc::clone(&gate);
    let arbiter = actix_rt::System::current().arbiter().clone();
    let supervised = supervise("gated", arbiter, RestartBudget::default(), move |exit| {
        Gated {
            gate: Arc::clone(&shared),
            _exit: exit,
        }
    });
    (Mailbox::new(supervised, num_permits), gate)
}

const LONG: Duration = Duration::from_secs(60);

#[test]
fn of_a_hundred_calls_on_eight_permits_eight_are_served_and_the_rest_refused_at_once() {
    paused(async || {
        let (mailbox, gate) = mailbox(8);
        let started = tokio::time::Instant::now();
        let refused_after = std::cell::Cell::new(Duration::ZERO);
        let calls = join_all((0..100).map(|index| {
            // Each from a handle of its own, which is what defeats a mailbox's own bound.
            let mailbox = mailbox.clone();
            let refused_after = &refused_after;
            async move {
                let _ = index;
                let answer = mailbox.call(Wait, LONG).await;
                if answer.is_err() {
                    refused_after.set(started.elapsed());
                }
                answer
            }
        }));
        let open = async {
            tokio::time::sleep(Duration::from_secs(1)).await;
            assert_eq!(mailbox.depth(), 8);
            gate.add_permits(100);
        };
        let (answers, ()) = futures::join!(calls, open);
        assert_eq!(
            answers
                .iter()
                .filter(|answer| matches!(answer, Ok(7)))
                .count(),
            8
        );
        assert_eq!(
            answers
                .iter()
                .filter(|answer| matches!(answer, Err(Error::Busy { actor: "gated" })))
                .count(),
            92
        );
        assert_eq!(refused_after.get(), Duration::ZERO);
        assert_eq!(mailbox.depth(), 0);
        assert_eq!(mailbox.call(Wait, LONG).await.unwrap(), 7);
    });
}

#[test]
fn a_reply_that_does_not_come_is_unavailable_at_the_deadline_and_gives_its_permit_back() {
    paused(async || {
        let (mailbox, _gate) = mailbox(1);
        let started = tokio::time::Instant::now();
        let answer = mailbox.call(Wait, Duration::from_secs(3)).await;
        assert!(matches!(answer, Err(Error::Unavailable { .. })));
        assert_eq!(started.elapsed().as_secs(), 3);
        assert_eq!(mailbox.depth(), 0);
    });
}

#[test]
fn a_caller_that_goes_away_gives_its_permit_back() {
    paused(async || {
        let (mailbox, gate) = mailbox(1);
        let gone = tokio::time::timeout(Duration::from_secs(1), mailbox.call(Wait, LONG)).await;
        assert!(gone.is_err());
        assert_eq!(mailbox.depth(), 0);
        gate.add_permits(1);
        assert_eq!(mailbox.call(Wait, LONG).await.unwrap(), 7);
    });
}

#[test]
fn calls_to_an_actor_that_is_down_fail_at_once_and_work_again_after() {
    paused(async || {
        let (mailbox, gate) = mailbox(2);
        gate.add_permits(10);
        assert!(matches!(
            mailbox.call(Panic, LONG).await,
            Err(Error::Unavailable { .. })
        ));
        until(|| matches!(mailbox.supervised().health(), Health::BackingOff(1))).await;
        let started = tokio::time::Instant::now();
        assert!(matches!(
            mailbox.call(Wait, LONG).await,
            Err(Error::Unavailable { .. })
        ));
        assert_eq!(started.elapsed(), Duration::ZERO);
        until(|| mailbox.supervised().health() == Health::Running(1)).await;
        assert_eq!(mailbox.call(Wait, LONG).await.unwrap(), 7);
        assert_eq!(mailbox.depth(), 0);
    });
}

#[test]
fn a_closed_mailbox_takes_nothing_more_and_lets_what_runs_end() {
    paused(async || {
        let (mailbox, gate) = mailbox(4);
        let running = mailbox.call(Wait, LONG);
        let close = async {
            tokio::time::sleep(Duration::from_millis(1)).await;
            mailbox.close();
            assert!(mailbox.call(Wait, LONG).await.is_err());
            gate.add_permits(1);
        };
        let (answer, ()) = futures::join!(running, close);
        assert_eq!(answer.unwrap(), 7);
    });
}
