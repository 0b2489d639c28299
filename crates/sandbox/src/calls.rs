//! Seccomp: system calls that no service of ours makes.
//!
//! The list says what is refused and not what is allowed: which calls the C library, the runtime and a PKCS#11 module
//! make changes with each of their versions, and a call missing from an allow list is an outage, mostly of the token. Files and
//! ports, where a module differs from the next, are Landlock's.
//!
//! Starting a program ends the process: nothing legitimate does it, and the kernel's audit log then names the attempt.
//! The rest returns an error, since libraries probe for some of it and do without.

use std::collections::BTreeMap;
use std::env::consts::ARCH;

use libc::{AF_INET, AF_INET6, AF_UNIX, ENOSYS, EPERM, IPPROTO_TCP, IPPROTO_UDP, c_int, c_long};
use seccompiler::SeccompCmpOp::{Eq, MaskedEq, Ne};
use seccompiler::{
    BackendError, BpfProgram, SeccompAction, SeccompCmpArgLen, SeccompCmpOp, SeccompCondition,
    SeccompFilter, SeccompRule, apply_filter, sock_filter,
};

use crate::{Confinement, SandboxError};

/// Start of a program.
const KILLED: [c_long; 2] = [libc::SYS_execve, libc::SYS_execveat];

/// Its flags are in memory, where a filter cannot read them. The C library falls back to `clone`.
const ABSENT: [c_long; 1] = [libc::SYS_clone3];

const REFUSED: [c_long; 57] = [
    // Memory, files and state of other processes.
    libc::SYS_ptrace,
    libc::SYS_process_vm_readv,
    libc::SYS_process_vm_writev,
    libc::SYS_process_madvise,
    libc::SYS_pidfd_getfd,
    libc::SYS_kcmp,
    // Another kernel, or parts of one.
    libc::SYS_kexec_load,
    libc::SYS_kexec_file_load,
    libc::SYS_init_module,
    libc::SYS_finit_module,
    libc::SYS_delete_module,
    libc::SYS_reboot,
    // Mounts, roots and namespaces.
    libc::SYS_mount,
    libc::SYS_umount2,
    libc::SYS_mount_setattr,
    libc::SYS_move_mount,
    libc::SYS_open_tree,
    libc::SYS_fsopen,
    libc::SYS_fsconfig,
    libc::SYS_fsmount,
    libc::SYS_fspick,
    libc::SYS_pivot_root,
    libc::SYS_chroot,
    libc::SYS_unshare,
    libc::SYS_setns,
    libc::SYS_swapon,
    libc::SYS_swapoff,
    libc::SYS_quotactl,
    libc::SYS_quotactl_fd,
    // Files by handle rather than by path, which Landlock sees.
    libc::SYS_open_by_handle_at,
    libc::SYS_name_to_handle_at,
    libc::SYS_fanotify_init,
    libc::SYS_fanotify_mark,
    // Large parts of the kernel that nothing here uses.
    libc::SYS_bpf,
    libc::SYS_perf_event_open,
    libc::SYS_userfaultfd,
    libc::SYS_io_uring_setup,
    libc::SYS_io_uring_enter,
    libc::SYS_io_uring_register,
    libc::SYS_keyctl,
    libc::SYS_add_key,
    libc::SYS_request_key,
    libc::SYS_lookup_dcookie,
    // The host's clock, name and accounts.
    libc::SYS_clock_settime,
    libc::SYS_settimeofday,
    libc::SYS_sethostname,
    libc::SYS_setdomainname,
    libc::SYS_acct,
    libc::SYS_syslog,
    libc::SYS_vhangup,
    libc::SYS_personality,
    // Listeners exist before.
    libc::SYS_bind,
    // Queues that nothing declares.
    libc::SYS_msgget,
    libc::SYS_msgsnd,
    libc::SYS_msgrcv,
    libc::SYS_msgctl,
    libc::SYS_mq_open,
];

#[cfg(target_arch = "x86_64")]
const REFUSED_HERE: &[c_long] = &[
    libc::SYS_iopl,
    libc::SYS_ioperm,
    libc::SYS_modify_ldt,
    libc::SYS_uselib,
    libc::SYS_ustat,
    libc::SYS_sysfs,
    libc::SYS__sysctl,
];
#[cfg(not(target_arch = "x86_64"))]
const REFUSED_HERE: &[c_long] = &[];

const SYSV_SHARED_MEMORY: [c_long; 8] = [
    libc::SYS_shmget,
    libc::SYS_shmat,
    libc::SYS_shmdt,
    libc::SYS_shmctl,
    libc::SYS_semget,
    libc::SYS_semop,
    libc::SYS_semtimedop,
    libc::SYS_semctl,
];

/// Those that `clone` takes.
const NAMESPACES: [c_int; 7] = [
    libc::CLONE_NEWNS,
    libc::CLONE_NEWCGROUP,
    libc::CLONE_NEWUTS,
    libc::CLONE_NEWIPC,
    libc::CLONE_NEWUSER,
    libc::CLONE_NEWPID,
    libc::CLONE_NEWNET,
];

/// The kind of a socket, without its flags.
const KIND: u64 = 0xf;
const DATAGRAM: c_int = libc::SOCK_DGRAM;
/// A stream, with each of the flags that a kind may carry.
const STREAMS: [c_int; 4] = [
    libc::SOCK_STREAM,
    libc::SOCK_STREAM | libc::SOCK_CLOEXEC,
    libc::SOCK_STREAM | libc::SOCK_NONBLOCK,
    libc::SOCK_STREAM | libc::SOCK_CLOEXEC | libc::SOCK_NONBLOCK,
];
/// Kinds other than streams and datagrams.
const OTHER_KINDS: [c_int; 5] = [
    libc::SOCK_RAW,
    libc::SOCK_RDM,
    libc::SOCK_SEQPACKET,
    libc::SOCK_DCCP,
    // SOCK_PACKET, an old name for packets of any protocol.
    10,
];

/// Calls of the x32 interface carry this bit, and would pass a list of numbers. No program of ours makes one.
const X32: u32 = 0x4000_0000;

/// Filters the calls of the calling thread.
pub(crate) fn filter(confinement: &Confinement) -> Result<(), SandboxError> {
    for program in programs(confinement)? {
        apply_filter(&program)?;
    }
    Ok(())
}

/// The kernel runs all of them and takes the strictest answer.
fn programs(confinement: &Confinement) -> Result<[BpfProgram; 4], BackendError> {
    Ok([
        without_x32(),
        program(always(&KILLED), SeccompAction::KillProcess)?,
        program(always(&ABSENT), SeccompAction::Errno(ENOSYS.unsigned_abs()))?,
        program(
            refused(confinement)?,
            SeccompAction::Errno(EPERM.unsigned_abs()),
        )?,
    ])
}

type Rules = BTreeMap<i64, Vec<SeccompRule>>;

fn program(rules: Rules, on_match: SeccompAction) -> Result<BpfProgram, BackendError> {
    SeccompFilter::new(rules, SeccompAction::Allow, on_match, ARCH.try_into()?)?.try_into()
}

fn without_x32() -> BpfProgram {
    let instruction = |code, jt, jf, k| sock_filter { code, jt, jf, k };
    vec![
        // The number of the call is the first word.
        instruction(word(libc::BPF_LD | libc::BPF_W | libc::BPF_ABS), 0, 0, 0),
        instruction(word(libc::BPF_JMP | libc::BPF_JGE | libc::BPF_K), 0, 1, X32),
        instruction(
            word(libc::BPF_RET | libc::BPF_K),
            0,
            0,
            libc::SECCOMP_RET_KILL_PROCESS,
        ),
        instruction(
            word(libc::BPF_RET | libc::BPF_K),
            0,
            0,
            libc::SECCOMP_RET_ALLOW,
        ),
    ]
}

/// Codes of instructions have 16 bits.
const fn word(code: u32) -> u16 {
    let [low, high, ..] = code.to_le_bytes();
    u16::from_le_bytes([low, high])
}

fn always(calls: &[c_long]) -> Rules {
    calls.iter().map(|call| (*call, Vec::new())).collect()
}

fn refused(confinement: &Confinement) -> Result<Rules, BackendError> {
    let mut rules = always(&REFUSED);
    rules.extend(always(REFUSED_HERE));
    if !confinement.sysv_shared_memory {
        rules.extend(always(&SYSV_SHARED_MEMORY));
    }
    if !confinement.may_connect() {
        rules.insert(libc::SYS_connect, Vec::new());
    }
    rules.insert(libc::SYS_socket, sockets(confinement)?);
    rules.insert(libc::SYS_socketpair, pairs()?);
    // Limits of other processes of the same user, which could stop them.
    rules.insert(libc::SYS_prlimit64, vec![rule(&[(0, Ne, 0)])?]);
    let namespaces = NAMESPACES.map(|flag| rule(&[(0, masked(flag), flag)]));
    rules.insert(
        libc::SYS_clone,
        namespaces.into_iter().collect::<Result<_, _>>()?,
    );
    // A connection made while sending passes Landlock by.
    let fast_open = libc::MSG_FASTOPEN;
    for (call, flags) in [
        (libc::SYS_sendto, 3),
        (libc::SYS_sendmsg, 2),
        (libc::SYS_sendmmsg, 3),
    ] {
        rules.insert(call, vec![rule(&[(flags, masked(fast_open), fast_open)])?]);
    }
    Ok(rules)
}

/// Refuses every pair but a stream of Unix sockets, which leads nowhere else. One of datagrams sends to any socket whose path
/// its user may write to, such as `/dev/log`, and without `connect`.
fn pairs() -> Result<Vec<SeccompRule>, BackendError> {
    let no_stream = STREAMS.map(|kind| (1, Ne, kind));
    Ok(vec![rule(&[(0, Ne, AF_UNIX)])?, rule(&no_stream)?])
}

/// Refuses what is not TCP, DNS or a stream of Unix sockets, as far as these are allowed. Landlock's rules on ports do not
/// apply to other stream protocols, such as MPTCP.
fn sockets(confinement: &Confinement) -> Result<Vec<SeccompRule>, BackendError> {
    let mut families = Vec::new();
    if confinement.unix_sockets {
        families.push(AF_UNIX);
    }
    if confinement.internet() {
        families.extend([AF_INET, AF_INET6]);
    }
    if families.is_empty() {
        return Ok(Vec::new());
    }
    let none_of: Vec<_> = families.iter().map(|family| (0, Ne, *family)).collect();
    let mut rules = vec![rule(&none_of)?];
    let names = confinement.resolve_names;
    if confinement.unix_sockets {
        let streams = STREAMS.map(|kind| (1, Ne, kind));
        rules.push(rule(&[&[(0, Eq, AF_UNIX)], streams.as_slice()].concat())?);
    }
    for family in [AF_INET, AF_INET6]
        .into_iter()
        .filter(|_| confinement.internet())
    {
        let mut protocols = vec![(0, Eq, family), (2, Ne, 0), (2, Ne, IPPROTO_TCP)];
        protocols.extend(names.then_some((2, Ne, IPPROTO_UDP)));
        rules.push(rule(&protocols)?);
        let datagram = (!names).then_some(DATAGRAM);
        for kind in OTHER_KINDS.into_iter().chain(datagram) {
            rules.push(rule(&[(0, Eq, family), (1, MaskedEq(KIND), kind)])?);
        }
    }
    Ok(rules)
}

fn masked(flag: c_int) -> SeccompCmpOp {
    MaskedEq(u64::from(flag.cast_unsigned()))
}

/// Matches where all of these hold: the place of an argument, the comparison, and what with.
fn rule(conditions: &[(u8, SeccompCmpOp, c_int)]) -> Result<SeccompRule, BackendError> {
    let conditions = conditions.iter().map(|(place, operator, value)| {
        let value = u64::from(value.cast_unsigned());
        SeccompCondition::new(*place, SeccompCmpArgLen::Dword, operator.clone(), value)
    });
    SeccompRule::new(conditions.collect::<Result<_, _>>()?)
}

#[cfg(test)]
mod tests;
