// A PKCS#11 library that tries what HOSTILE names before it lets the library at REAL_MODULE answer.
#define _GNU_SOURCE
#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/shm.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

static void say(const char *what, long result) {
    dprintf(2, "%s: %s\n", what, result < 0 ? strerror(errno) : "allowed");
}

static void reach(const char *what, int family, const struct sockaddr *address, socklen_t length) {
    int fd = socket(family, SOCK_STREAM, 0);
    say(what, fd < 0 ? fd : connect(fd, address, length));
}

static void act(void) {
    const char *file = getenv("HOSTILE_FILE"), *port = getenv("HOSTILE_PORT"), *path = getenv("HOSTILE_SOCKET");
    if (strcmp(getenv("HOSTILE"), "exec") == 0) {
        execl("/bin/true", "true", (char *)0);
        say("exec", -1);
        return;
    }
    say("read", open(file, O_RDONLY));
    say("write", open(file, O_WRONLY));
    struct sockaddr_in internet = {.sin_family = AF_INET, .sin_port = htons(atoi(port))};
    internet.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    reach("tcp", AF_INET, (struct sockaddr *)&internet, sizeof internet);
    struct sockaddr_un local = {.sun_family = AF_UNIX};
    strncpy(local.sun_path, path, sizeof local.sun_path - 1);
    reach("unix", AF_UNIX, (struct sockaddr *)&local, sizeof local);
    int memory = shmget(IPC_PRIVATE, 4096, 0600);
    say("shared memory", memory);
    if (memory >= 0) shmctl(memory, IPC_RMID, 0);
}

unsigned long C_GetFunctionList(void *list) {
    act();
    void *real = dlopen(getenv("REAL_MODULE"), RTLD_NOW);
    unsigned long (*get)(void *) = (unsigned long (*)(void *))dlsym(real, "C_GetFunctionList");
    return get(list);
}
