//! The programs, run as the kernel runs them, over calls that a test without `unsafe` cannot make.

use seccompiler::sock_filter;

use super::{KILLED, NAMESPACES, REFUSED, REFUSED_HERE, SYSV_SHARED_MEMORY, X32, programs};
use crate::Confinement;

const ALLOWED: u32 = libc::SECCOMP_RET_ALLOW;
const KILL: u32 = libc::SECCOMP_RET_KILL_PROCESS;
const REFUSE: u32 = libc::SECCOMP_RET_ERRNO | libc::EPERM.unsigned_abs();
const NOT_THERE: u32 = libc::SECCOMP_RET_ERRNO | libc::ENOSYS.unsigned_abs();

#[cfg(target_arch = "x86_64")]
const OWN: u32 = 0xc000_003e;
#[cfg(target_arch = "aarch64")]
const OWN: u32 = 0xc000_00b7;
const I386: u32 = 0x4000_0003;

/// The strictest answer of all programs: the numerically smallest, as a signed number, by the kernel's rule.
fn answer(confinement: &Confinement, architecture: u32, call: i64, arguments: &[i32]) -> u32 {
    let mut data = vec![u32::try_from(call).unwrap(), architecture, 0, 0];
    for argument in arguments {
        // The upper half is noise that the kernel ignores for arguments of 32 bits.
        data.extend([argument.cast_unsigned(), 0xdead_beef]);
    }
    data.resize(16, 0);
    let programs = programs(confinement).unwrap();
    let answers = programs.iter().map(|program| run(program, &data));
    answers.min_by_key(|answer| answer.cast_signed()).unwrap()
}

fn run(program: &[sock_filter], data: &[u32]) -> u32 {
    let (mut at, mut accumulator) = (0, 0);
    loop {
        let sock_filter { code, jt, jf, k } = program[at].clone();
        let jump = |holds: bool| usize::from(if holds { jt } else { jf });
        at += 1;
        at += match u32::from(code) {
            0x20 => {
                accumulator = data[usize::try_from(k).unwrap() / 4];
                0
            }
            0x54 => {
                accumulator &= k;
                0
            }
            0x05 => usize::try_from(k).unwrap(),
            0x15 => jump(accumulator == k),
            0x25 => jump(accumulator > k),
            0x35 => jump(accumulator >= k),
            0x06 => return k,
            other => panic!("instruction {other:#x}"),
        };
    }
}

fn everything() -> Confinement {
    Confinement::new()
        .connect_tcp(7443)
        .resolve_names()
        .unix_sockets()
        .sysv_shared_memory()
}

#[test]
fn no_declaration_allows_a_program_or_another_process_or_a_namespace() {
    for confinement in [Confinement::new(), everything()] {
        for call in KILLED {
            assert_eq!(answer(&confinement, OWN, call, &[]), KILL, "{call}");
        }
        for call in REFUSED.iter().chain(REFUSED_HERE) {
            assert_eq!(answer(&confinement, OWN, *call, &[]), REFUSE, "{call}");
        }
        for call in [libc::SYS_ptrace, libc::SYS_bind, libc::SYS_unshare] {
            assert!(REFUSED.contains(&call), "{call}");
        }
        assert_eq!(answer(&confinement, OWN, libc::SYS_clone3, &[]), NOT_THERE);
        for flag in NAMESPACES {
            let flags = flag | libc::CLONE_VM;
            let answer = answer(&confinement, OWN, libc::SYS_clone, &[flags]);
            assert_eq!(answer, REFUSE, "{flag:#x}");
        }
    }
}

#[test]
fn what_services_do_all_the_time_is_allowed() {
    let thread = libc::CLONE_VM | libc::CLONE_THREAD | libc::CLONE_SIGHAND;
    for confinement in [Confinement::new(), everything()] {
        for (call, arguments) in [
            (libc::SYS_read, &[][..]),
            (libc::SYS_openat, &[]),
            (libc::SYS_mmap, &[]),
            (libc::SYS_futex, &[]),
            (libc::SYS_accept4, &[]),
            (libc::SYS_socketpair, &[libc::AF_UNIX, libc::SOCK_STREAM, 0]),
            (libc::SYS_clone, &[thread]),
            (libc::SYS_sendto, &[3, 0, 0, libc::MSG_NOSIGNAL]),
            (libc::SYS_clock_adjtime, &[]),
        ] {
            assert_eq!(
                answer(&confinement, OWN, call, arguments),
                ALLOWED,
                "{call}"
            );
        }
    }
}

#[test]
fn another_calling_convention_gets_around_nothing() {
    let none = Confinement::new();
    assert_eq!(answer(&none, I386, libc::SYS_read, &[]), KILL);
    for call in [libc::SYS_read, libc::SYS_ptrace, 521] {
        let x32 = call | i64::from(X32);
        assert_eq!(answer(&none, OWN, x32, &[]), KILL, "{call}");
    }
}

#[test]
fn sockets_are_of_the_declared_families_and_protocols() {
    use libc::{AF_INET, AF_INET6, AF_NETLINK, AF_PACKET, AF_UNIX, AF_VSOCK};
    use libc::{IPPROTO_TCP, IPPROTO_UDP, SOCK_CLOEXEC, SOCK_DGRAM, SOCK_RAW, SOCK_STREAM};
    const MPTCP: i32 = 262;

    let none = Confinement::new();
    let unix = Confinement::new().unix_sockets();
    let tcp = Confinement::new().connect_tcp(7443);
    let names = Confinement::new().resolve_names();
    // Family, kind, protocol, and who may have one: nothing declared, Unix sockets, TCP, names, all of it.
    for (family, kind, protocol, wanted) in [
        (AF_UNIX, SOCK_STREAM, 0, [false, true, false, false, true]),
        (AF_UNIX, SOCK_DGRAM, 0, [false; 5]),
        (AF_UNIX, SOCK_RAW, 0, [false; 5]),
        (AF_UNIX, libc::SOCK_SEQPACKET, 0, [false; 5]),
        (AF_INET, SOCK_STREAM, 0, [false, false, true, true, true]),
        (
            AF_INET6,
            SOCK_STREAM,
            IPPROTO_TCP,
            [false, false, true, true, true],
        ),
        (AF_INET, SOCK_STREAM, MPTCP, [false; 5]),
        (AF_INET, SOCK_DGRAM, 0, [false, false, false, true, true]),
        (
            AF_INET6,
            SOCK_DGRAM,
            IPPROTO_UDP,
            [false, false, false, true, true],
        ),
        (AF_INET, SOCK_RAW, IPPROTO_TCP, [false; 5]),
        (AF_INET6, libc::SOCK_SEQPACKET, 0, [false; 5]),
        (AF_NETLINK, SOCK_RAW, 0, [false; 5]),
        (AF_PACKET, SOCK_RAW, 0, [false; 5]),
        (AF_VSOCK, SOCK_STREAM, 0, [false; 5]),
    ] {
        for (confinement, wanted) in [&none, &unix, &tcp, &names, &everything()]
            .iter()
            .zip(wanted)
        {
            let arguments = [family, kind | SOCK_CLOEXEC, protocol];
            let answer = answer(confinement, OWN, libc::SYS_socket, &arguments);
            let wanted = if wanted { ALLOWED } else { REFUSE };
            assert_eq!(answer, wanted, "{arguments:?} for {confinement:?}");
        }
    }
    for (confinement, wanted) in [(none, REFUSE), (unix, ALLOWED), (tcp, ALLOWED)] {
        assert_eq!(answer(&confinement, OWN, libc::SYS_connect, &[]), wanted);
    }
}

/// The kernel makes datagrams of SOCK_RAW too.
#[test]
fn a_pair_of_sockets_is_a_stream() {
    use libc::{SOCK_CLOEXEC, SOCK_DGRAM, SOCK_NONBLOCK, SOCK_RAW, SOCK_SEQPACKET, SOCK_STREAM};
    for confinement in [Confinement::new(), everything()] {
        for flags in [0, SOCK_CLOEXEC, SOCK_NONBLOCK, SOCK_CLOEXEC | SOCK_NONBLOCK] {
            let pair = |family, kind| {
                let arguments = [family, kind | flags, 0];
                answer(&confinement, OWN, libc::SYS_socketpair, &arguments)
            };
            assert_eq!(pair(libc::AF_UNIX, SOCK_STREAM), ALLOWED);
            for kind in [SOCK_DGRAM, SOCK_RAW, SOCK_SEQPACKET] {
                assert_eq!(pair(libc::AF_UNIX, kind), REFUSE, "{kind}");
            }
            assert_eq!(pair(libc::AF_INET, SOCK_STREAM), REFUSE);
        }
    }
}

#[test]
fn limits_are_those_of_this_process_alone() {
    for confinement in [Confinement::new(), everything()] {
        let limit = |process| answer(&confinement, OWN, libc::SYS_prlimit64, &[process, 7]);
        assert_eq!(limit(0), ALLOWED);
        assert_eq!(limit(1), REFUSE);
    }
}

/// Landlock does not see a connection that is made while sending.
#[test]
fn nothing_is_sent_with_a_connection_of_its_own() {
    let flag = libc::MSG_FASTOPEN | libc::MSG_NOSIGNAL;
    for (call, arguments) in [
        (libc::SYS_sendto, &[3, 0, 0, flag][..]),
        (libc::SYS_sendmsg, &[3, 0, flag]),
        (libc::SYS_sendmmsg, &[3, 0, 0, flag]),
    ] {
        assert_eq!(
            answer(&everything(), OWN, call, arguments),
            REFUSE,
            "{call}"
        );
    }
}

#[test]
fn shared_memory_of_system_v_has_to_be_declared() {
    let shared = Confinement::new().sysv_shared_memory();
    for call in SYSV_SHARED_MEMORY {
        assert_eq!(
            answer(&Confinement::new(), OWN, call, &[]),
            REFUSE,
            "{call}"
        );
        assert_eq!(answer(&shared, OWN, call, &[]), ALLOWED, "{call}");
    }
}
