// Loaded as if it were a PKCS#11 module: says what it could do on the way.
#define _GNU_SOURCE
#include <arpa/inet.h>
#include <errno.h>
#include <sched.h>
#include <stdio.h>
#include <string.h>
#include <sys/ptrace.h>
#include <sys/shm.h>
#include <sys/socket.h>
#include <sys/uio.h>
#include <unistd.h>

static void say(const char *what, long result) {
    dprintf(1, "%s: %s\n", what, result < 0 ? strerror(errno) : "allowed");
}

__attribute__((constructor)) static void act(void) {
    say("ptrace", ptrace(PTRACE_TRACEME, 0, 0, 0));

    char from = 'x', to;
    struct iovec local = {&to, 1}, remote = {&from, 1};
    say("process_vm_readv", process_vm_readv(getpid(), &local, 1, &remote, 1, 0));

    int memory = shmget(IPC_PRIVATE, 4096, 0600);
    say("shmget", memory);
    if (memory >= 0) shmctl(memory, IPC_RMID, 0);

    // A listener of its own takes the connection that goes out with the data.
    int listener = socket(AF_INET, SOCK_STREAM, 0), sender = socket(AF_INET, SOCK_STREAM, 0);
    struct sockaddr_in address = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    socklen_t length = sizeof address;
    bind(listener, (struct sockaddr *)&address, length);
    listen(listener, 1);
    getsockname(listener, (struct sockaddr *)&address, &length);
    say("fast open", sendto(sender, "x", 1, MSG_FASTOPEN, (struct sockaddr *)&address, length));

    say("unshare", unshare(CLONE_FS));
}
