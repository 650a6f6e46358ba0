//! What the tunnels of a bench do.

use super::pace;
use super::tally::Tally;
use super::tunnel::{Broken, Target, Tunnel};
use crate::ring;
use std::cell::{Cell, RefCell};
use std::rc::Rc;
use std::task::{Poll, Waker};
use std::time::Instant;

/// Opens `count` tunnels, [`OPENERS`] at a time; each then carries one message and its echo. `told` hears of each.
///
/// # Errors
/// That of the first that cannot be opened.
pub(super) async fn open_all(
    target: &Target,
    count: usize,
    size: usize,
    told: impl Fn(usize) + Clone + 'static,
) -> Result<Vec<Tunnel>, Broken> {
    let opening = Rc::new(Opening {
        open: RefCell::new(Vec::with_capacity(count)),
        failed: RefCell::new(None),
        begun: Cell::new(0),
        waker: RefCell::new(None),
    });
    for _ in 0..OPENERS.min(count) {
        let (target, opening, told) = (target.clone(), opening.clone(), told.clone());
        ring::spawn(async move {
            while opening.begun.get() < count && opening.failed.borrow().is_none() {
                opening.begun.set(opening.begun.get() + 1);
                match touched(&target, size).await {
                    Ok(tunnel) => opening.open.borrow_mut().push(tunnel),
                    Err(broken) => *opening.failed.borrow_mut() = Some(broken),
                }
                told(opening.open.borrow().len());
                if let Some(waker) = &*opening.waker.borrow() {
                    waker.wake_by_ref();
                }
            }
        });
    }
    std::future::poll_fn(|cx| {
        if let Some(broken) = opening.failed.borrow_mut().take() {
            return Poll::Ready(Err(broken));
        }
        if opening.open.borrow().len() == count {
            return Poll::Ready(Ok(opening.open.take()));
        }
        *opening.waker.borrow_mut() = Some(cx.waker().clone());
        Poll::Pending
    })
    .await
}

struct Opening {
    open: RefCell<Vec<Tunnel>>,
    failed: RefCell<Option<Broken>>,
    begun: Cell<usize>,
    waker: RefCell<Option<Waker>>,
}

/// A tunnel that has carried one message and its echo.
pub(super) async fn touched(target: &Target, size: usize) -> Result<Tunnel, Broken> {
    let mut tunnel = Tunnel::open(target, size).await?;
    round_trip(&mut tunnel).await?;
    Ok(tunnel)
}

async fn round_trip(tunnel: &mut Tunnel) -> Result<(), Broken> {
    let wanted = tunnel.messages() + 1;
    tunnel.send().await?;
    while tunnel.messages() < wanted {
        tunnel.receive().await?;
    }
    Ok(())
}

/// One message after the other through each of the first `active` tunnels: the next when the last has come back, or, with
/// a rate, when it is due. The others rest.
///
/// # Errors
/// When a rate is wanted and there is no descriptor for it.
pub(super) fn ping(
    open: Vec<Tunnel>,
    active: usize,
    size: usize,
    rate: Option<f64>,
    tally: &Tally,
) -> std::io::Result<()> {
    let lanes = rate
        .map(|rate| pace::start(rate, active.max(1)))
        .transpose()?;
    let mut lanes = lanes.into_iter().flatten();
    for (number, mut tunnel) in open.into_iter().enumerate() {
        let tally = tally.clone();
        if number >= active {
            ring::spawn(rest(tunnel, tally));
            continue;
        }
        let lane = lanes.next();
        ring::spawn(async move {
            loop {
                let begun = match &lane {
                    Some(lane) => lane.next().await,
                    None => Instant::now(),
                };
                match round_trip(&mut tunnel).await {
                    Ok(()) => tally.unit(begun.elapsed(), size as u64),
                    Err(broken) => return tally.error(&broken),
                }
            }
        });
    }
    Ok(())
}

/// Waits for what must not come.
async fn rest(tunnel: Tunnel, tally: Tally) {
    match tunnel.readable().await {
        Ok(()) => tally.error(&"something came through a resting tunnel, or it ended"),
        Err(broken) => tally.error(&broken),
    }
}

/// As many messages as go through, at most `window` of each tunnel under way.
pub(super) fn flood(open: Vec<Tunnel>, size: usize, window: u64, tally: &Tally) {
    for mut tunnel in open {
        let tally = tally.clone();
        ring::spawn(async move {
            if let Err(broken) = flood_one(&mut tunnel, size, window, &tally).await {
                tally.error(&broken);
            }
        });
    }
}

async fn flood_one(
    tunnel: &mut Tunnel,
    size: usize,
    window: u64,
    tally: &Tally,
) -> Result<(), Broken> {
    let (mut sent, mut begun) = (tunnel.messages(), 0);
    loop {
        let seen = tunnel.messages();
        let before = Instant::now();
        let room = window.saturating_sub(sent - seen);
        let pushed = tunnel.push(&mut begun, room)?;
        sent += pushed;
        tunnel.ready(pushed < room).await?;
        while tunnel.take()? {}
        for _ in seen..tunnel.messages() {
            tally.unit(before.elapsed(), size as u64);
        }
    }
}

/// Tunnels one after the other, `at_once` of them at a time: opened, one message and its echo, closed. With a rate,
/// each is opened when it is due.
///
/// # Errors
/// When a rate is wanted and there is no descriptor for it.
pub(super) fn open(
    target: &Target,
    at_once: usize,
    size: usize,
    rate: Option<f64>,
    tally: &Tally,
) -> std::io::Result<()> {
    let lanes = rate
        .map(|rate| pace::start(rate, at_once.max(1)))
        .transpose()?;
    let mut lanes = lanes.into_iter().flatten();
    for _ in 0..at_once {
        let (target, tally, lane) = (target.clone(), tally.clone(), lanes.next());
        ring::spawn(async move {
            loop {
                let begun = match &lane {
                    Some(lane) => lane.next().await,
                    None => Instant::now(),
                };
                match touched(&target, size).await {
                    Ok(tunnel) => {
                        drop(tunnel);
                        tally.unit(begun.elapsed(), size as u64);
                    }
                    Err(broken) => return tally.error(&broken),
                }
            }
        });
    }
    Ok(())
}

/// Handshakes under way while tunnels are opened.
const OPENERS: usize = 32;
