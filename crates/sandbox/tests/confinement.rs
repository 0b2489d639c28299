//! Real processes try to do more than they declared.
//!
//! Each property runs on the only thread of a process, which the standard harness does not offer: the kernel binds the thread
//! that asks. `cargo nextest run` starts such a process itself; with `cargo test` this program does it.

use std::io::{BufRead, BufReader, ErrorKind, Read, Write};
use std::net::{TcpListener, TcpStream, UdpSocket};
use std::os::unix::fs::PermissionsExt;
use std::os::unix::net::{UnixDatagram, UnixListener, UnixStream};
use std::os::unix::process::{CommandExt, ExitStatusExt};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitCode, Stdio};
use std::{env, fs, io, thread};

use anyhow::{Context, Result, bail, ensure};
use assay_pkcs11::{Access, Module, TokenUri};
use assay_sandbox::{Confinement, Gap, SandboxError, harden};
use rustix::process::{
    DumpableBehavior, PidfdFlags, PidfdGetfdFlags, Resource, Signal, dumpable_behavior, getrlimit,
    kill_process, pidfd_getfd, setrlimit,
};
use tempfile::TempDir;

type Property = (&'static str, fn() -> Result<()>);

const PROPERTIES: &[Property] = &[
    ("a_hardened_process_says_so", a_hardened_process_says_so),
    ("an_abort_leaves_no_core", an_abort_leaves_no_core),
    ("files_are_those_declared", files_are_those_declared),
    ("threads_are_bound_too", threads_are_bound_too),
    (
        "a_database_has_its_side_files",
        a_database_has_its_side_files,
    ),
    (
        "a_certificate_is_replaced_by_rename",
        a_certificate_is_replaced_by_rename,
    ),
    (
        "a_module_is_loaded_from_where_it_may_be",
        a_module_is_loaded_from_where_it_may_be,
    ),
    ("no_program_is_started", no_program_is_started),
    (
        "no_process_is_traced_or_signalled",
        no_process_is_traced_or_signalled,
    ),
    ("a_hostile_module_is_bound", a_hostile_module_is_bound),
    (
        "listeners_stay_and_no_socket_is_made",
        listeners_stay_and_no_socket_is_made,
    ),
    (
        "connections_go_to_declared_ports",
        connections_go_to_declared_ports,
    ),
    (
        "unix_sockets_have_to_be_declared",
        unix_sockets_have_to_be_declared,
    ),
    (
        "nothing_is_sent_to_sockets_of_others",
        nothing_is_sent_to_sockets_of_others,
    ),
    (
        "names_are_resolved_where_declared",
        names_are_resolved_where_declared,
    ),
    ("an_older_kernel_is_reported", an_older_kernel_is_reported),
    ("a_missing_path_is_named", a_missing_path_is_named),
    ("other_threads_are_refused", other_threads_are_refused),
];

/// Parts of properties that end with their process, or need a variable of the environment.
const PARTS: &[Property] = &[
    ("abort", || abort(false)),
    ("abort_hardened", || abort(true)),
    ("exec", exec),
    ("module", module),
    ("degraded", degraded),
    ("hostile_free", || hostile(false)),
    ("hostile_bound", || hostile(true)),
];

fn main() -> ExitCode {
    let arguments: Vec<String> = env::args().skip(1).collect();
    let has = |option: &str| arguments.iter().any(|argument| argument == option);
    let filter = arguments.iter().find(|argument| !argument.starts_with('-'));
    let outcome = match filter {
        _ if has("--list") => list(has("--ignored")),
        Some(name) if has("--exact") => run(name),
        filter => run_each(filter.map_or("", String::as_str)),
    };
    match outcome {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            let _ = writeln!(io::stderr(), "{error:?}");
            ExitCode::FAILURE
        }
    }
}

fn list(only_ignored: bool) -> Result<()> {
    for (name, _) in PROPERTIES.iter().filter(|_| !only_ignored) {
        writeln!(io::stdout(), "{name}: test")?;
    }
    Ok(())
}

fn run(name: &str) -> Result<()> {
    let mut all = PROPERTIES.iter().chain(PARTS);
    let (_, property) = all
        .find(|(known, _)| *known == name)
        .with_context(|| format!("there is no {name}"))?;
    property()
}

fn run_each(filter: &str) -> Result<()> {
    let mut failed = Vec::new();
    for (name, _) in PROPERTIES.iter().filter(|(name, _)| name.contains(filter)) {
        let passed = part(name)?.status()?.success();
        writeln!(
            io::stdout(),
            "{name}: {}",
            if passed { "ok" } else { "failed" }
        )?;
        failed.extend((!passed).then_some(*name));
    }
    ensure!(failed.is_empty(), "failed: {failed:?}");
    Ok(())
}

/// This program again, for one property or part of one.
fn part(name: &str) -> Result<Command> {
    let mut command = Command::new(env::current_exe()?);
    command.args(["--exact", name]);
    Ok(command)
}

fn refused<T>(result: io::Result<T>, wanted: ErrorKind) -> Result<()> {
    match result {
        Ok(_) => bail!("was allowed"),
        Err(error) if error.kind() == wanted => Ok(()),
        Err(error) => Err(error).context("failed otherwise than by the sandbox"),
    }
}

/// Both Landlock's EACCES and seccomp's EPERM.
const DENIED: ErrorKind = ErrorKind::PermissionDenied;

fn a_hardened_process_says_so() -> Result<()> {
    harden()?;
    ensure!(dumpable_behavior()? == DumpableBehavior::NotDumpable);
    ensure!(rustix::thread::no_new_privs()?);
    let limit = getrlimit(Resource::Core);
    ensure!(
        (limit.current, limit.maximum) == (Some(0), Some(0)),
        "{limit:?}"
    );
    Ok(())
}

fn an_abort_leaves_no_core() -> Result<()> {
    let end = |name: &str| -> Result<_> {
        let directory = TempDir::new()?;
        let status = part(name)?.current_dir(directory.path()).status()?;
        ensure!(status.signal() == Some(Signal::ABORT.as_raw()), "{status}");
        let left = fs::read_dir(directory.path())?.count();
        Ok((status.core_dumped(), left))
    };
    ensure!(end("abort_hardened")? == (false, 0));
    // Without hardening the same process does leave one, unless this machine allows none at all.
    let allows = getrlimit(Resource::Core).maximum != Some(0);
    ensure!(!allows || end("abort")?.0, "the test sees no core at all");
    Ok(())
}

fn abort(hardened: bool) -> Result<()> {
    let mut limit = getrlimit(Resource::Core);
    limit.current = limit.maximum;
    setrlimit(Resource::Core, limit)?;
    if hardened {
        harden()?;
    }
    std::process::abort()
}

/// A directory to read, one to write and one that nobody declared, each with a file in it.
struct Folders {
    root: TempDir,
    read: PathBuf,
    write: PathBuf,
    other: PathBuf,
}

impl Folders {
    fn new() -> Result<Self> {
        let root = TempDir::new()?;
        let [read, write, other] = ["read", "write", "other"].map(|name| root.path().join(name));
        for folder in [&read, &write, &other] {
            fs::create_dir(folder)?;
            fs::write(folder.join("file"), "text")?;
        }
        Ok(Self {
            root,
            read,
            write,
            other,
        })
    }

    fn confinement(&self) -> Confinement {
        Confinement::new().read(&self.read).write(&self.write)
    }
}

impl Drop for Folders {
    /// Its own process may not remove what it made: the directory above is none that it declares.
    fn drop(&mut self) {
        for folder in [&self.read, &self.write, &self.other] {
            let _ = fs::remove_dir_all(folder);
        }
        let _ = self.root.path();
    }
}

fn files_are_those_declared() -> Result<()> {
    let folders = Folders::new()?;
    let mut open = fs::File::create(folders.other.join("open before"))?;
    let report = folders.confinement().apply()?;
    if report.landlock_abi == 0 {
        return Ok(());
    }
    let Folders {
        read, write, other, ..
    } = &folders;
    ensure!(fs::read_to_string(read.join("file"))? == "text");
    refused(fs::write(read.join("file"), "new"), DENIED)?;
    refused(fs::write(read.join("new"), "new"), DENIED)?;
    refused(fs::remove_file(read.join("file")), DENIED)?;
    refused(
        fs::rename(write.join("file"), read.join("file")),
        ErrorKind::CrossesDevices,
    )
    .or_else(|_| refused(fs::rename(write.join("file"), read.join("file")), DENIED))?;
    fs::write(write.join("new"), "new")?;
    fs::rename(write.join("new"), write.join("file"))?;
    fs::create_dir(write.join("folder"))?;
    fs::rename(write.join("file"), write.join("folder/file"))?;
    fs::remove_file(write.join("folder/file"))?;
    refused(
        std::os::unix::fs::symlink("/etc", write.join("link")),
        DENIED,
    )?;
    refused(UnixListener::bind(write.join("socket")), DENIED)?;
    refused(fs::read(other.join("file")), DENIED)?;
    refused(fs::read_dir(other), DENIED)?;
    refused(fs::read("/etc/passwd"), DENIED)?;
    fs::write("/dev/null", "text")?;
    // An open file stays open.
    open.write_all(b"text")?;
    Ok(())
}

fn threads_are_bound_too() -> Result<()> {
    let folders = Folders::new()?;
    let report = folders.confinement().apply()?;
    let file = folders.other.join("file");
    let (read, started, socket) = thread::spawn(move || {
        let started = Command::new("/bin/true").status();
        (fs::read(file), started, UdpSocket::bind("127.0.0.1:0"))
    })
    .join()
    .map_err(|_| anyhow::anyhow!("the thread panicked"))?;
    ensure!(started?.signal() == Some(Signal::SYS.as_raw()));
    refused(socket, DENIED)?;
    if report.landlock_abi > 0 {
        refused(read, DENIED)?;
    }
    Ok(())
}

fn a_database_has_its_side_files() -> Result<()> {
    let folders = Folders::new()?;
    folders.confinement().apply()?;
    let path = folders.write.join("state.db");
    let options = assay_store::Options::default();
    let key = assay_store::StateKey::from(zeroize::Zeroizing::new([0; 32]));
    for open in [assay_store::Store::create, assay_store::Store::open] {
        let store = open(&path, &key, &options)?;
        for side in ["state.db-wal", "state.db-shm"] {
            ensure!(folders.write.join(side).exists(), "no {side}");
        }
        drop(store);
    }
    Ok(())
}

fn a_certificate_is_replaced_by_rename() -> Result<()> {
    let folders = Folders::new()?;
    let (file, new) = (folders.read.join("file"), folders.other.join("file"));
    let single = folders.root.path().join("single");
    fs::write(&single, "text")?;
    fs::write(&new, "renewed")?;
    // Somebody else renews it, when told to.
    let mut renewal = Command::new("sh")
        .args([
            "-c",
            r#"read _; cp "$0" "$3"; mv "$3" "$2"; mv "$0" "$1"; echo done"#,
        ])
        .args([&new, &file, &single, &folders.root.path().join("copy")])
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()?;
    let report = folders.confinement().read(&single).apply()?;
    ensure!(fs::read_to_string(&file)? == "text");
    ensure!(fs::read_to_string(&single)? == "text");
    tell(&mut renewal)?;
    ensure!(fs::read_to_string(&file)? == "renewed");
    if report.landlock_abi > 0 {
        // Why directories are declared.
        refused(fs::read(&single), DENIED)?;
    }
    Ok(())
}

/// Lets a shell continue, and waits until it is done.
fn tell(shell: &mut Child) -> Result<()> {
    writeln!(shell.stdin.take().context("its input")?, "go")?;
    let mut line = String::new();
    BufReader::new(shell.stdout.take().context("its output")?).read_line(&mut line)?;
    ensure!(line == "done\n", "{line:?}");
    Ok(())
}

const MODULE: &str = "/usr/lib/softhsm/libsofthsm2.so";
/// The directory in which the part `module` finds all that it needs.
const FOLDER: &str = "ASSAY_TEST_FOLDER";

fn a_module_is_loaded_from_where_it_may_be() -> Result<()> {
    let folders = Folders::new()?;
    let config = folders.read.join("softhsm2.conf");
    let tokens = folders.write.join("tokens");
    fs::create_dir(&tokens)?;
    fs::write(
        &config,
        include_str!("../../../softhsm/softhsm2.conf")
            .replace("@TOKEN_DIR@", &tokens.to_string_lossy()),
    )?;
    let made = Command::new("softhsm2-util")
        .args(["--init-token", "--free", "--label", "Test token"])
        .args(["--so-pin", "so-pin-5678", "--pin", "token-pin-1234"])
        .env("SOFTHSM2_CONF", &config)
        .output()?;
    ensure!(made.status.success(), "{made:?}");
    let pin = folders.read.join("pin");
    fs::write(&pin, "token-pin-1234\n")?;
    fs::set_permissions(&pin, fs::Permissions::from_mode(0o600))?;
    for folder in [&folders.read, &folders.other] {
        fs::copy(MODULE, folder.join("module.so"))?;
    }
    let loaded = part("module")?
        .env(FOLDER, folders.root.path())
        .env("SOFTHSM2_CONF", &config)
        .output()?;
    ensure!(loaded.status.success(), "{loaded:?}");
    Ok(())
}

fn module() -> Result<()> {
    let root = PathBuf::from(env::var_os(FOLDER).context("no folder")?);
    let [read, write, other] = ["read", "write", "other"].map(|name| root.join(name));
    let report = Confinement::new().read(&read).write(&write).apply()?;
    if report.landlock_abi > 0 {
        let hidden = Module::load(&other.join("module.so"));
        ensure!(
            hidden.is_err(),
            "loaded from a directory that is not allowed"
        );
    }
    let module = Module::load(&read.join("module.so"))?;
    let pin = read.join("pin");
    let uri = format!(
        "pkcs11:token=Test%20token?pin-source=file:{}",
        pin.display()
    );
    module.open(&TokenUri::parse(&uri)?, Access::ReadWrite)?;
    Ok(())
}

fn no_program_is_started() -> Result<()> {
    let status = part("exec")?.status()?;
    ensure!(status.signal() == Some(Signal::SYS.as_raw()), "{status}");
    Confinement::new().unix_sockets().apply()?;
    let child = Command::new("/bin/true").status()?;
    ensure!(child.signal() == Some(Signal::SYS.as_raw()), "{child}");
    Ok(())
}

fn exec() -> Result<()> {
    Confinement::new().apply()?;
    Err(Command::new("/bin/true").exec().into())
}

fn no_process_is_traced_or_signalled() -> Result<()> {
    let mut other = Command::new("sh")
        .args(["-c", "read _"])
        .stdin(Stdio::piped())
        .spawn()?;
    let id = i32::try_from(other.id())?;
    let pid = rustix::process::Pid::from_raw(id).context("a process id")?;
    let handle = rustix::process::pidfd_open(pid, PidfdFlags::empty())?;
    // A child's parent may do this, and what follows, without the sandbox.
    drop(pidfd_getfd(&handle, 0, PidfdGetfdFlags::empty())?);

    let report = Confinement::new().apply()?;
    let taken = pidfd_getfd(&handle, 0, PidfdGetfdFlags::empty());
    refused(taken.map_err(io::Error::from), DENIED)?;
    if report.landlock_abi > 0 {
        refused(fs::read(format!("/proc/{id}/environ")), DENIED)?;
    }
    if !report.not_enforced.contains(&Gap::Signals) {
        let signalled = kill_process(pid, Signal::TERM);
        refused(signalled.map_err(io::Error::from), DENIED)?;
    }
    drop(other.stdin.take());
    ensure!(other.wait()?.code() == Some(1));
    Ok(())
}

/// A module is foreign code: what it tries while it is loaded is refused as it is to the process.
fn a_hostile_module_is_bound() -> Result<()> {
    let folders = Folders::new()?;
    let source = folders.read.join("hostile.c");
    fs::write(&source, include_str!("hostile.c"))?;
    let compiled = Command::new("cc")
        .args(["-shared", "-fPIC", "-o"])
        .args([&folders.read.join("hostile.so"), &source])
        .output()?;
    ensure!(compiled.status.success(), "{compiled:?}");
    let tried = |name: &str| -> Result<String> {
        let loaded = part(name)?.env(FOLDER, folders.root.path()).output()?;
        ensure!(loaded.status.success(), "{loaded:?}");
        Ok(String::from_utf8(loaded.stdout)?)
    };
    let attempts = [
        "ptrace",
        "process_vm_readv",
        "shmget",
        "fast open",
        "unshare",
    ];
    let outcome = |what: &str| {
        attempts
            .map(|attempt| format!("{attempt}: {what}\n"))
            .concat()
    };
    let free = tried("hostile_free")?;
    ensure!(free == outcome("allowed"), "{free}");
    let bound = tried("hostile_bound")?;
    ensure!(bound == outcome("Operation not permitted"), "{bound}");
    Ok(())
}

fn hostile(bound: bool) -> Result<()> {
    let read = PathBuf::from(env::var_os(FOLDER).context("no folder")?).join("read");
    if bound {
        Confinement::new().read(&read).connect_tcp(1).apply()?;
    }
    // It acts when it is loaded; there is no PKCS#11 function in it.
    ensure!(Module::load(&read.join("hostile.so")).is_err());
    Ok(())
}

fn listeners_stay_and_no_socket_is_made() -> Result<()> {
    let listener = TcpListener::bind("127.0.0.1:0")?;
    let address = listener.local_addr()?;
    let mut client = client(address.port())?;
    Confinement::new().apply()?;
    // A runtime needs this to take signals.
    let (mut one, mut two) = UnixStream::pair()?;
    one.write_all(b"x")?;
    two.read_exact(&mut [0])?;

    let (mut stream, _) = listener.accept()?;
    stream.write_all(b"done\n")?;
    tell(&mut client)?;
    refused(TcpListener::bind("127.0.0.1:0"), DENIED)?;
    refused(TcpStream::connect(address), DENIED)?;
    refused(UdpSocket::bind("127.0.0.1:0"), DENIED)?;
    refused(UnixStream::connect("/run/nothing"), DENIED)?;
    // A listening socket cannot be made into a connection either.
    rustix::net::shutdown(&listener, rustix::net::Shutdown::Both)?;
    let connected = rustix::net::connect(&listener, &address);
    refused(connected.map_err(io::Error::from), DENIED)
}

/// A process that connects to this port, and prints what it is sent once told to.
fn client(port: u16) -> Result<Child> {
    let script = format!("exec 3<>/dev/tcp/127.0.0.1/{port}; read _; cat <&3 | head -n 1");
    let mut command = Command::new("bash");
    command
        .args(["-c", &script])
        .stdin(Stdio::piped())
        .stdout(Stdio::piped());
    Ok(command.spawn()?)
}

fn connections_go_to_declared_ports() -> Result<()> {
    let listeners = [
        TcpListener::bind("127.0.0.1:0")?,
        TcpListener::bind("127.0.0.1:0")?,
    ];
    let [declared, other] = listeners.each_ref().map(TcpListener::local_addr);
    let (declared, other) = (declared?, other?);
    let report = Confinement::new().connect_tcp(declared.port()).apply()?;
    TcpStream::connect(declared)?;
    refused(TcpListener::bind("127.0.0.1:0"), DENIED)?;
    refused(UdpSocket::bind("127.0.0.1:0"), DENIED)?;
    if report.not_enforced.contains(&Gap::TcpPorts) {
        return Ok(());
    }
    refused(TcpStream::connect(other), DENIED)
}

fn unix_sockets_have_to_be_declared() -> Result<()> {
    let folders = Folders::new()?;
    let path = folders.other.join("socket");
    let _listener = UnixListener::bind(&path)?;
    Confinement::new().unix_sockets().apply()?;
    UnixStream::connect(&path)?;
    refused(TcpStream::connect("127.0.0.1:1"), DENIED)?;
    refused(UnixListener::bind(folders.write.join("socket")), DENIED)
}

/// As `/dev/log` and the service manager's socket are: anyone may send to them, and no connection is needed.
fn nothing_is_sent_to_sockets_of_others() -> Result<()> {
    let folders = Folders::new()?;
    let path = folders.other.join("log");
    let log = UnixDatagram::bind(&path)?;
    let send = || -> io::Result<usize> {
        let (pair, _other) = UnixDatagram::pair()?;
        pair.send_to(b"forged", &path)
    };
    ensure!(send()? == 6 && log.recv(&mut [0; 6])? == 6);
    let unbound = || UnixDatagram::unbound()?.send_to(b"forged", &path);
    ensure!(unbound()? == 6 && log.recv(&mut [0; 6])? == 6);
    // Declared or not: it is streams that are declared.
    Confinement::new().unix_sockets().apply()?;
    refused(send(), DENIED)?;
    refused(unbound(), DENIED)?;
    let (streams, _other) = UnixStream::pair()?;
    let address = rustix::net::SocketAddrUnix::new(&path)?;
    let flags = rustix::net::SendFlags::NOSIGNAL;
    ensure!(rustix::net::sendto(&streams, b"forged", flags, &address).is_err());
    log.set_nonblocking(true)?;
    refused(log.recv(&mut [0; 6]), ErrorKind::WouldBlock)
}

fn names_are_resolved_where_declared() -> Result<()> {
    let listener = TcpListener::bind("127.0.0.1:0")?;
    let port = listener.local_addr()?.port();
    Confinement::new()
        .resolve_names()
        .connect_tcp(port)
        .apply()?;
    TcpStream::connect(("localhost", port))?;
    // A datagram socket can be made and has no port of its own to be found at.
    refused(UdpSocket::bind("127.0.0.1:0"), DENIED)
}

/// The version of Landlock to pretend.
const ABI: &str = "ASSAY_TEST_ABI";

fn an_older_kernel_is_reported() -> Result<()> {
    for abi in 0..=7_u8 {
        let done = part("degraded")?.env(ABI, abi.to_string()).output()?;
        ensure!(done.status.success(), "{abi}: {done:?}");
    }
    Ok(())
}

fn degraded() -> Result<()> {
    let abi: u8 = env::var(ABI)?.parse()?;
    let folders = Folders::new()?;
    let listener = TcpListener::bind("127.0.0.1:0")?;
    let confinement = folders.confinement().connect_tcp(1).unix_sockets();
    let report = confinement.landlock_abi_at_most(abi).apply()?;
    // The running kernel may have less than what is pretended.
    ensure!(report.landlock_abi <= abi);
    let abi = report.landlock_abi;
    let expected: Vec<Gap> = [
        (Gap::Files, 1),
        (Gap::Truncation, 3),
        (Gap::TcpPorts, 4),
        (Gap::DeviceControl, 5),
        (Gap::Signals, 6),
        (Gap::AbstractSockets, 6),
        (Gap::UnixSockets, 8),
    ]
    .into_iter()
    .filter(|(_, since)| abi < *since)
    .map(|(gap, _)| gap)
    .collect();
    ensure!(report.not_enforced == expected, "{report:?}");
    let line = report.to_string();
    ensure!(
        expected.iter().all(|gap| line.contains(&gap.to_string())),
        "{line}"
    );

    // The report agrees with the kernel.
    ensure!(fs::read(folders.other.join("file")).is_ok() == (abi == 0));
    let connected = TcpStream::connect(listener.local_addr()?);
    ensure!(connected.is_ok() == (abi < 4), "{connected:?}");
    // Seccomp does not depend on it.
    refused(TcpListener::bind("127.0.0.1:0"), DENIED)?;
    ensure!(Command::new("/bin/true").status()?.signal() == Some(Signal::SYS.as_raw()));
    fs::write(folders.write.join("file"), "new")?;
    Ok(())
}

fn a_missing_path_is_named() -> Result<()> {
    let missing = Path::new("/nowhere/at-all");
    let error = Confinement::new().read(missing).apply().err();
    let Some(SandboxError::Path { path, .. }) = &error else {
        bail!("{error:?}");
    };
    ensure!(path == missing);
    Ok(())
}

fn other_threads_are_refused() -> Result<()> {
    let (stop, stopped) = std::sync::mpsc::sync_channel::<()>(0);
    let other = thread::spawn(move || stopped.recv());
    let error = Confinement::new().apply().err();
    drop(stop);
    let _ = other.join();
    let Some(SandboxError::Threads { threads: 2 }) = error else {
        bail!("{error:?}");
    };
    Ok(())
}
