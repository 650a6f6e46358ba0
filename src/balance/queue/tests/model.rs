//! Any order of events, one after the other.

use super::{ANY, Scene, settings};
use crate::balance::{Ask, Busy, Missed, Waiting};
use crate::config::AdminState;
use proptest::prelude::*;

#[derive(Debug, Clone, Copy)]
enum Step {
    Come { wanted: Option<usize>, tunnel: bool },
    End(usize),
    Leave(usize),
    Admin(usize, AdminState),
}

fn step() -> impl Strategy<Value = Step> {
    let server = prop::option::weighted(0.4, 0usize..2);
    let come = (server, any::<bool>());
    let admin = prop::sample::select(vec![
        AdminState::Ready,
        AdminState::Ready,
        AdminState::Drain,
        AdminState::Maintenance,
    ]);
    prop_oneof![
        5 => come.prop_map(|(wanted, tunnel)| Step::Come { wanted, tunnel }),
        4 => any::<usize>().prop_map(Step::End),
        1 => any::<usize>().prop_map(Step::Leave),
        1 => (0usize..2, admin).prop_map(|(server, admin)| Step::Admin(server, admin)),
    ]
}

proptest! {
    /// Whatever happens: bounds hold, counts agree, nobody waits for what is there, and nobody is overtaken by
    /// somebody younger who asks for the same.
    #[test]
    fn nobody_waits_in_vain_or_is_overtaken(steps in prop::collection::vec(step(), 1..120)) {
        let scene = Scene::with(&settings(&[(Some(2), Some(1)), (Some(3), None)]));
        let mut busy: Vec<Busy> = Vec::new();
        let mut waiting: Vec<(Ask, Waiting)> = Vec::new();
        for step in steps {
            match step {
                Step::Come { wanted, tunnel } => {
                    let open = |at: &usize| scene.pool.servers[*at].accepts_sticky();
                    let ask = Ask { wanted: wanted.filter(open), tunnel, ..ANY };
                    match scene.take(&ask) {
                        Ok((_, taken)) => busy.push(taken),
                        Err(Missed::NoServer) => {}
                        Err(Missed::Full) => {
                            if let Ok(waits) = scene.pool.wait(&ask, false, &scene.bell, 0) {
                                waiting.push((ask, waits));
                            }
                        }
                    }
                }
                Step::End(at) if !busy.is_empty() => drop(busy.remove(at % busy.len())),
                Step::Leave(at) if !waiting.is_empty() => drop(waiting.remove(at % waiting.len())),
                Step::Admin(server, admin) => scene.pool.set_admin(server, admin),
                Step::End(_) | Step::Leave(_) => {}
            }
            // Whose server was closed once waits for any, also when it is open again.
            for (ask, _) in &mut waiting {
                ask.wanted = ask.wanted.filter(|at| scene.pool.servers[*at].accepts_sticky());
            }
            for (at, (ask, waits)) in waiting.iter().enumerate() {
                let before = |(older, waits): &&(Ask, Waiting)| older == ask && !waits.is_over();
                if waits.is_over() {
                    prop_assert!(waiting[..at].iter().find(before).is_none(), "overtaken");
                }
            }
            let over = |(_, waits): &mut (Ask, Waiting)| waits.is_over();
            for (_, mut waits) in waiting.extract_if(.., over) {
                busy.push(waits.given(&scene.pool).unwrap().1);
            }
            let (one, two) = (&scene.pool.servers[0].live, &scene.pool.servers[1].live);
            prop_assert!(one.sessions() <= 2 && two.sessions() <= 3);
            prop_assert_eq!(one.sessions() + two.sessions(), busy.len() as u32);
            let (shared, own) = scene.waiting();
            prop_assert_eq!(shared + own.iter().sum::<u32>(), waiting.len() as u32);
            prop_assert_eq!(scene.pool.live.queue.waiting(), waiting.len() as u32);
            for (ask, _) in &waiting {
                let has_room = |at: usize| scene.pool.servers[at].live.has_room(ask.session());
                let in_vain = match ask.wanted {
                    Some(wanted) => has_room(wanted),
                    None => (0..2).any(|at| scene.pool.servers[at].accepts_new() && has_room(at)),
                };
                prop_assert!(!in_vain, "{ask:?} waits in vain");
            }
        }
        drop(waiting);
        drop(busy);
        prop_assert_eq!(scene.pool.live.sessions(), 0);
        prop_assert_eq!(scene.pool.live.queue.waiting(), 0);
    }
}
