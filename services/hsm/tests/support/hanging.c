// A PKCS#11 library that counts logins, and hangs in them as long as a file is there. Else it is SoftHSM.
#include <dlfcn.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

// CK_FUNCTION_LIST: a version, then the functions in the order of PKCS#11.
struct functions {
    void *version;
    void *function[68];
};
enum { LOGIN = 18 };
typedef unsigned long (*login)(unsigned long, unsigned long, unsigned char *, unsigned long);
static login real;
static struct functions list;

static FILE *beside(const char *name, const char *mode) {
    char path[4096];
    snprintf(path, sizeof path, "%s/%s", getenv("HANGING"), name);
    return fopen(path, mode);
}

static unsigned long counted(unsigned long session, unsigned long user, unsigned char *pin, unsigned long length) {
    FILE *logins = beside("logins", "a");
    fputs("login\n", logins);
    fclose(logins);
    FILE *hang = beside("hang", "r");
    if (hang) for (;;) pause();
    return real(session, user, pin, length);
}

unsigned long C_GetFunctionList(struct functions **functions) {
    void *library = dlopen("/usr/lib/softhsm/libsofthsm2.so", RTLD_NOW);
    unsigned long (*get)(struct functions **) = dlsym(library, "C_GetFunctionList");
    struct functions *found;
    unsigned long result = get(&found);
    memcpy(&list, found, sizeof list);
    real = (login)list.function[LOGIN];
    list.function[LOGIN] = counted;
    *functions = &list;
    return result;
}
