//! What `/proc` tells: who listens on a port, where a process works, who is in a process group. Linux only; proc(5).

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::{Path, PathBuf};

use crate::explain::{Exit, Failure, quoted};
use crate::release::host::Group;

/// The most processes, and the most open files of one process, that a look goes through.
const MOST_PROCESSES: usize = 100_000;
const MOST_FILES: usize = 100_000;

/// A socket that listens on a port.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Listener {
    /// The user that opened it, by number.
    pub user: u32,
    /// The process that holds it; absent when it belongs to another user, who alone may look.
    pub process: Option<Process>,
}

/// A process as far as it could be seen.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Process {
    /// Its number.
    pub id: u32,
    /// Its name, at most 15 bytes.
    pub name: String,
    /// The physical directory it works in; absent when it could not be read. A removed directory keeps its old path.
    pub directory: Option<PathBuf>,
}

impl Process {
    /// The process with this number, if there is one that is not already dead.
    #[must_use]
    pub fn look(id: u32) -> Option<Process> {
        let stat = Stat::read(id)?;
        Some(Process {
            id,
            name: stat.name,
            directory: working_directory(id),
        })
    }

    /// Whether it works in `directory` (physical) or below.
    #[must_use]
    pub fn is_inside(&self, directory: &Path) -> bool {
        self.directory
            .as_ref()
            .is_some_and(|works_in| works_in.starts_with(directory))
    }
}

impl Listener {
    /// Who it is, for people.
    #[must_use]
    pub fn describe(&self) -> String {
        match &self.process {
            Some(process) => {
                let place = process.directory.as_ref().map_or_else(
                    || "a directory that cannot be read".to_owned(),
                    |directory| quoted(&directory.to_string_lossy()),
                );
                format!(
                    "process {} {} in {place}",
                    process.id,
                    quoted(&process.name)
                )
            }
            None => format!("a process of user {}", self.user),
        }
    }
}

/// Every socket that listens on TCP `port`, on any address, with its process.
///
/// # Errors
/// `host::proc`, exit 1, where `/proc/net/tcp` cannot be read.
pub fn who_listens(port: u16) -> Result<Vec<Listener>, Failure> {
    let mut sockets = BTreeMap::new();
    let table = fs::read_to_string("/proc/net/tcp").map_err(|error| {
        Failure::new(
            Exit::CommandFailed,
            "host::proc",
            format!("who listens on port {port} cannot be told"),
        )
        .because(format!("/proc/net/tcp: {error}"))
    })?;
    sockets.extend(listening(&table, port));
    // Without IPv6 there is no such table.
    if let Ok(table) = fs::read_to_string("/proc/net/tcp6") {
        sockets.extend(listening(&table, port));
    }
    if sockets.is_empty() {
        return Ok(Vec::new());
    }
    let mut listeners = Vec::new();
    let mut found = Vec::new();
    for id in processes() {
        let held = sockets_of(id)
            .into_iter()
            .find(|inode| sockets.contains_key(inode));
        if let Some(inode) = held
            && let Some(process) = Process::look(id)
        {
            found.push(inode);
            listeners.push(Listener {
                user: sockets[&inode],
                process: Some(process),
            });
        }
    }
    listeners.extend(
        sockets
            .iter()
            .filter(|(inode, _)| !found.contains(inode))
            .map(|(_, user)| Listener {
                user: *user,
                process: None,
            }),
    );
    Ok(listeners)
}

/// Inode → user of the sockets in a table of `/proc/net` that listen on `port`.
fn listening(table: &str, port: u16) -> Vec<(u64, u32)> {
    const LISTEN: &str = "0A";
    table
        .lines()
        .skip(1)
        .filter_map(|line| {
            let fields: Vec<&str> = line.split_ascii_whitespace().collect();
            let (_, its_port) = fields.get(1)?.rsplit_once(':')?;
            let listens = u16::from_str_radix(its_port, 16).ok()? == port && fields[3] == LISTEN;
            let inode = fields.get(9)?.parse().ok()?;
            let user = fields.get(7)?.parse().ok()?;
            // A socket that its process has just closed has no inode any more.
            (listens && inode != 0).then_some((inode, user))
        })
        .collect()
}

fn processes() -> impl Iterator<Item = u32> {
    fs::read_dir("/proc")
        .into_iter()
        .flatten()
        .filter_map(|entry| entry.ok()?.file_name().to_str()?.parse().ok())
        .take(MOST_PROCESSES)
}

fn sockets_of(id: u32) -> Vec<u64> {
    fs::read_dir(format!("/proc/{id}/fd"))
        .into_iter()
        .flatten()
        .take(MOST_FILES)
        .filter_map(|entry| {
            let target = fs::read_link(entry.ok()?.path()).ok()?;
            target
                .to_str()?
                .strip_prefix("socket:[")?
                .strip_suffix(']')?
                .parse()
                .ok()
        })
        .collect()
}

fn working_directory(id: u32) -> Option<PathBuf> {
    let directory = fs::read_link(format!("/proc/{id}/cwd")).ok()?;
    let text = directory.to_str()?;
    Some(PathBuf::from(
        text.strip_suffix(" (deleted)").unwrap_or(text),
    ))
}

struct Stat {
    name: String,
    parent: u32,
    group: u32,
    started: u64,
}

impl Stat {
    /// `None` when there is no such process or only its exit status is left of it.
    fn read(id: u32) -> Option<Stat> {
        let text = fs::read_to_string(format!("/proc/{id}/stat")).ok()?;
        // The name is in parentheses and may hold any character, parentheses too.
        let (head, rest) = text.rsplit_once(") ")?;
        let (_, name) = head.split_once('(')?;
        let fields: Vec<&str> = rest.split_ascii_whitespace().collect();
        (!matches!(*fields.first()?, "Z" | "X")).then_some(())?;
        Some(Stat {
            name: name.to_owned(),
            parent: fields.get(1)?.parse().ok()?,
            group: fields.get(2)?.parse().ok()?,
            started: fields.get(19)?.parse().ok()?,
        })
    }
}

/// Every living process that the process with this number started, or that one of these started.
#[must_use]
pub fn descendants(id: u32) -> BTreeSet<u32> {
    let parents: BTreeMap<u32, u32> = processes()
        .filter_map(|id| Some((id, Stat::read(id)?.parent)))
        .collect();
    let mut found = BTreeSet::new();
    let mut waiting = vec![id];
    while let Some(parent) = waiting.pop() {
        let children = parents.iter().filter(|(_, of)| **of == parent);
        let children: Vec<u32> = children.map(|(child, _)| *child).collect();
        waiting.extend(children.into_iter().filter(|child| found.insert(*child)));
    }
    found
}

fn boot() -> Option<String> {
    let text = fs::read_to_string("/proc/sys/kernel/random/boot_id").ok()?;
    Some(text.trim().to_owned())
}

/// What is remembered of the process group whose first process is `id`.
#[must_use]
pub fn group(id: u32) -> Group {
    Group {
        id,
        started: Stat::read(id).map(|stat| stat.started),
        boot: boot(),
    }
}

/// Whether a process of the group with this number lives. The caller knows whose group it is.
#[must_use]
pub fn group_lives(id: u32) -> bool {
    processes().any(|process| Stat::read(process).is_some_and(|stat| stat.group == id))
}

/// The living processes of `group`; none when the group is no longer the one that was started.
///
/// Numbers are given out again after a restart of the machine, and within one run when all of a group are gone: it is ours
/// when its first process was started at the remembered moment, or when one of its processes works inside `directory`.
#[must_use]
pub fn members(group: &Group, directory: &Path) -> Vec<Process> {
    if group.boot.is_some() && group.boot != boot() {
        return Vec::new();
    }
    let members: Vec<Process> = processes()
        .filter(|id| Stat::read(*id).is_some_and(|stat| stat.group == group.id))
        .filter_map(Process::look)
        .collect();
    let first_is_ours =
        group.started.is_some() && Stat::read(group.id).map(|stat| stat.started) == group.started;
    if first_is_ours || members.iter().any(|process| process.is_inside(directory)) {
        members
    } else {
        Vec::new()
    }
}

#[cfg(test)]
mod tests {
    use std::os::unix::process::CommandExt as _;

    use super::*;

    #[test]
    fn a_listener_is_found_with_its_process_and_directory() {
        let socket = std::net::TcpListener::bind("127.0.0.1:0").expect("a port");
        let port = socket.local_addr().expect("an address").port();
        let listeners = who_listens(port).expect("readable");
        let process = listeners
            .iter()
            .find_map(|listener| listener.process.clone())
            .expect("ours");
        assert_eq!(process.id, std::process::id());
        assert!(process.is_inside(&std::env::current_dir().expect("a directory")));
        drop(socket);
        // Another test may fork at this moment and hold the socket until it executes something else.
        assert!((0..500).any(|_| {
            let free = who_listens(port).expect("readable").is_empty();
            if !free {
                std::thread::sleep(std::time::Duration::from_millis(10));
            }
            free
        }));
    }

    #[test]
    fn tables_are_read_as_the_kernel_writes_them() {
        let table = "  sl  local_address rem_address   st tx_queue rx_queue tr tm->when retrnsmt   uid  timeout inode\n\
            0: 0100007F:1F90 00000000:0000 0A 00000000:00000000 00:00000000 00000000  1000        0 4711 1 0000 100 0 0 10 0\n\
            1: 0100007F:1F90 0100007F:9999 01 00000000:00000000 00:00000000 00000000  1000        0 4712 1 0000 100 0 0 10 0\n\
            broken line\n";
        assert_eq!(listening(table, 8080), [(4711, 1000)]);
        assert_eq!(listening(table, 8081), []);
    }

    #[test]
    fn another_boot_or_another_process_with_the_same_number_is_not_ours() {
        let nowhere = Path::new("/no/such/directory");
        let mut first = std::process::Command::new("sleep")
            .arg("600")
            .process_group(0)
            .spawn()
            .expect("it starts");
        let ours = super::group(first.id());
        assert!(!members(&ours, nowhere).is_empty());
        let recycled = Group {
            started: ours.started.map(|started| started + 1),
            ..ours.clone()
        };
        assert!(members(&recycled, nowhere).is_empty());
        let other_boot = Group {
            boot: Some("another".to_owned()),
            ..ours
        };
        assert!(members(&other_boot, Path::new("/")).is_empty());
        first.kill().expect("it lives");
        first.wait().expect("it ended");
    }
}
