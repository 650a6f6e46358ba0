//! Landlock: no path can be opened, made, removed, renamed or run, no TCP port can be chosen, and nobody
//! outside can be signalled or reached over an abstract unix socket.
//!
//! It binds what goes through a ring as much as what is called. What is open already stays usable: the
//! launcher opens and hands over listeners, logs and secrets.
//!
//! Left out: to which ports TCP may connect. Servers come and go with reloads, and a domain that is in
//! force can only be made narrower. Connecting to a unix socket's path is not Landlock's affair before
//! its ninth version, and servers, the stats page and syslog are reached that way.

use landlock::{
    ABI, Access, AccessFs, AccessNet, CompatLevel, Compatible, LandlockStatus, NetPort,
    RestrictionStatus, Ruleset, RulesetAttr, RulesetCreatedAttr, RulesetError, RulesetStatus,
    Scope,
};

/// Confines this thread and those it will start.
///
/// # Errors
/// Why not, in a few words.
pub(super) fn enter() -> Result<String, String> {
    let status = restrict().map_err(|error| error.to_string())?;
    match (status.ruleset, status.landlock) {
        (RulesetStatus::NotEnforced, LandlockStatus::NotImplemented) => {
            Err("this kernel has none (it came with Linux 5.13)".to_owned())
        }
        (RulesetStatus::NotEnforced, _) => {
            Err("not enabled in this kernel (see its parameter lsm=)".to_owned())
        }
        (_, LandlockStatus::Available { effective_abi, .. }) => Ok(format!(
            "Landlock (version {})",
            effective_abi.min(NEWEST) as i32
        )),
        (_, _) => Ok("Landlock".to_owned()),
    }
}

/// One thing is granted: to bind port 0, which a source address does before it connects. That gives a port of the
/// kernel's choice, and no service: listen(2) is not among the calls that seccomp leaves.
fn restrict() -> Result<RestrictionStatus, RulesetError> {
    Ruleset::default()
        .set_compatibility(CompatLevel::BestEffort)
        .handle_access(AccessFs::from_all(NEWEST))?
        .handle_access(AccessNet::BindTcp)?
        .scope(Scope::from_all(NEWEST))?
        .create()?
        .add_rule(NetPort::new(0, AccessNet::BindTcp))?
        .restrict_self()
}

/// The newest version whose restrictions were tried here; a newer kernel changes nothing.
const NEWEST: ABI = ABI::V7;
