#![allow(missing_docs, dead_code)]
use crate::balance;
use crate::config::Config;
use std::fs::File;
use std::os::fd::OwnedFd;
use std::path::Path;
use std::sync::Arc;

pub(super) struct Live;
impl Live {
    pub(super) fn connections(&self) -> u32 {
        0
    }
    pub(super) fn total(&self) -> u64 {
        0
    }
}
pub(super) struct L {
    pub(super) name: Box<str>,
    pub(super) live: Live,
}
pub(super) struct Plan {
    pub(super) config: Arc<Config>,
    pub(super) pools: Box<[Arc<balance::Pool>]>,
    pub(super) listeners: Box<[Arc<L>]>,
}
impl Plan {
    pub(super) fn new(
        config: &Arc<Config>,
        previous: Option<&Self>,
        workers: usize,
        _stats: Option<&Path>,
    ) -> Arc<Self> {
        let before = |name: &str| {
            previous?
                .pools
                .iter()
                .find(|pool| pool.settings.name == name)
                .map(Arc::as_ref)
        };
        let pools = config
            .pools
            .iter()
            .map(|pool| Arc::new(balance::Pool::new(pool, before(&pool.name), workers)))
            .collect();
        let listeners = config
            .listeners
            .iter()
            .map(|l| {
                Arc::new(L {
                    name: l.name.as_str().into(),
                    live: Live,
                })
            })
            .collect();
        Arc::new(Self {
            config: config.clone(),
            pools,
            listeners,
        })
    }
}
pub(super) struct ListenerSockets {
    pub(super) listener: usize,
    pub(super) sockets: Vec<OwnedFd>,
}
pub(super) struct Setup {
    pub(super) plan: Arc<Plan>,
    pub(super) listeners: Vec<ListenerSockets>,
    pub(super) workers: usize,
    pub(super) cores: Vec<usize>,
    pub(super) logs: Logs,
    pub(super) events: Events,
}
pub(super) struct Workers;
impl Workers {
    pub(super) fn start(setup: Setup) -> Result<Self, String> {
        for l in setup.listeners {
            std::thread::spawn(move || {
                for s in l.sockets {
                    std::mem::forget(s);
                }
                loop {
                    std::thread::park();
                }
            });
        }
        Ok(Self)
    }
    pub(super) fn adopt(&self, _: Arc<Plan>) {}
    pub(super) fn drain(&self) {}
    pub(super) fn connections(&self) -> u32 {
        u32::from(std::env::var_os("SHIM_BUSY").is_some())
    }
    pub(super) fn tunnels(&self) -> u32 {
        0
    }
    pub(super) fn driver(&self) -> &str {
        "shim"
    }
}
#[derive(Clone)]
pub(super) struct Logs;
impl Logs {
    pub(super) fn start(_: &Config, files: Vec<(usize, File)>) -> Result<Self, String> {
        eprintln!("log files {files:?}");
        Ok(Self)
    }
    pub(super) fn events(&self) -> Events {
        Events
    }
    pub(super) fn reopen(&self, files: Vec<(usize, File)>) {
        eprintln!("reopen {files:?}");
    }
    pub(super) fn adopt(&self, _: &Config, _: Vec<(usize, File)>) -> Result<(), String> {
        Ok(())
    }
    pub(super) fn finish(&self) {}
}
#[derive(Clone)]
pub(super) struct Events;
impl Events {
    pub(super) fn say(&self, level: u8, text: &str) {
        eprintln!("EVENT {level} {text}");
    }
}
