//! The stories: the real binary on real temporary repositories against real servers.

mod crash;
mod house;
mod oracle;
mod race;
mod registry_contract;
mod store_contract;
#[allow(dead_code, reason = "every story uses another part of it")]
mod support;
