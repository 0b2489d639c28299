//! Files, processes and sockets that the signer's user must not reach.

use std::fs::{self, File};
use std::os::unix::net::UnixStream;

use nix::sys::ptrace;
use rustix::process::{Pid, test_kill_process};

use crate::scene::{Loot, Scene};

const FILES: &str = "a file of the service";
const PROCESS: &str = "the service's process";
const ORDERS: &str = "the socket for orders";
pub(crate) const KINDS: [&str; 3] = [FILES, PROCESS, ORDERS];

/// Everything that the same search finds as the service's own user: everything but its memory, which no user may see.
pub(crate) const WITHIN_REACH_OF_THE_SERVICE: [&str; 13] = [
    "read pin",
    "read hsm.toml",
    "read softhsm2.conf",
    "read state/journal/entries",
    "read state/journal/bodies",
    "write pin",
    "write state/journal/entries",
    "list tokens",
    "list state",
    "list state/journal",
    "make run/hsm.sock.new",
    "signal",
    "connect state/orders.sock",
];

pub(crate) fn search(scene: &Scene, loot: &mut Loot) {
    let dir = scene.dir.clone();
    let of = |what: &str, name: &str| format!("{what} {name}");
    for name in [
        "pin",
        "hsm.toml",
        "softhsm2.conf",
        "state/journal/entries",
        "state/journal/bodies",
    ] {
        loot.reach(FILES, of("read", name), fs::read(dir.join(name)).is_ok());
    }
    for name in ["pin", "state/journal/entries"] {
        let opened = File::options().append(true).open(dir.join(name));
        loot.reach(FILES, of("write", name), opened.is_ok());
    }
    for name in ["tokens", "state", "state/journal"] {
        loot.reach(
            FILES,
            of("list", name),
            fs::read_dir(dir.join(name)).is_ok(),
        );
    }
    let beside = dir.join("run/hsm.sock.new");
    let made = File::create_new(&beside).is_ok();
    loot.reach(FILES, "make run/hsm.sock.new".to_owned(), made);

    let number = scene.pid;
    for name in ["mem", "environ", "maps", "fd"] {
        let path = format!("/proc/{number}/{name}");
        let is_there = fs::read_dir(&path).is_ok() || File::open(&path).is_ok();
        loot.reach(PROCESS, format!("read /proc/PID/{name}"), is_there);
    }
    let traced = ptrace::attach(nix::unistd::Pid::from_raw(number)).is_ok();
    loot.reach(PROCESS, "trace".to_owned(), traced);
    let signalled = test_kill_process(Pid::from_raw(number).unwrap()).is_ok();
    loot.reach(PROCESS, "signal".to_owned(), signalled);

    let orders = UnixStream::connect(dir.join("state/orders.sock")).is_ok();
    loot.reach(ORDERS, "connect state/orders.sock".to_owned(), orders);
}
