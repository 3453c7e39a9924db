//! The tests that need real directories, servers and processes.

mod registry_contract;
mod store_contract;
mod support;
