//! Work at a fixed rate: what is due is due, however slowly it is answered.
//!
//! A client that sends its next message only when the last one has been answered sends nothing while the proxy stands
//! still, and so never sees how long all those would have waited (coordinated omission). Here every unit has its
//! moment from the start, and its latency counts from that moment.

use crate::ring::{self, Alarm};
use std::cell::RefCell;
use std::collections::VecDeque;
use std::io;
use std::rc::Rc;
use std::task::{Poll, Waker};
use std::time::{Duration, Instant};

/// One of the connections that share the rate in turn.
#[derive(Debug)]
pub struct Lane(Rc<RefCell<Waiting>>);

#[derive(Debug, Default)]
struct Waiting {
    due: VecDeque<Instant>,
    waker: Option<Waker>,
}

impl Lane {
    /// Waits for the next unit of this lane; since when it is due.
    pub async fn next(&self) -> Instant {
        std::future::poll_fn(|cx| {
            let mut waiting = self.0.borrow_mut();
            if let Some(due) = waiting.due.pop_front() {
                return Poll::Ready(due);
            }
            waiting.waker = Some(cx.waker().clone());
            Poll::Pending
        })
        .await
    }
}

/// Starts `per_second` units a second, for ever, and hands them to so many lanes in turn. What a lane could not
/// take up waits, at most [`MOST_WAITING`] units of it; more are not begun, which the report shows as a lower rate.
///
/// # Errors
/// When there is no descriptor for the alarm.
pub fn start(per_second: f64, lanes: usize) -> io::Result<Vec<Lane>> {
    let alarm = Alarm::new()?;
    let shared: Vec<Rc<RefCell<Waiting>>> = (0..lanes).map(|_| Rc::default()).collect();
    let handed = shared.iter().map(|lane| Lane(lane.clone())).collect();
    let began = Instant::now();
    let at = move |unit: u64| began + Duration::from_secs_f64(unit as f64 / per_second);
    ring::spawn(async move {
        let mut unit = 0_u64;
        loop {
            while at(unit) <= Instant::now() {
                hand(&shared[unit as usize % lanes], at(unit));
                unit += 1;
            }
            let wait = at(unit).saturating_duration_since(Instant::now());
            if alarm.after(wait).await.is_err() {
                return;
            }
        }
    });
    Ok(handed)
}

fn hand(lane: &RefCell<Waiting>, due: Instant) {
    let mut lane = lane.borrow_mut();
    if lane.due.len() < MOST_WAITING {
        lane.due.push_back(due);
    }
    if let Some(waker) = lane.waker.take() {
        waker.wake();
    }
}

/// Units that wait for one lane at most.
const MOST_WAITING: usize = 65_536;
