/* Kills the process before its KILL_AT-th call that may change something outside of it; a write is torn
 * in half first. Preloaded into git-parallel alone: children are started without it. KILL_COUNT names a
 * file that gets the number of calls if the process lives. */
#define _GNU_SOURCE
#include <dlfcn.h>
#include <fcntl.h>
#include <signal.h>
#include <spawn.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <sys/types.h>
#include <unistd.h>

static atomic_long calls;
static long kill_at = -1;

static void die(void) { kill(getpid(), SIGKILL); pause(); }

__attribute__((constructor)) static void begin(void) {
    const char *at = getenv("KILL_AT");
    if (at) kill_at = atol(at);
    unsetenv("LD_PRELOAD");
}

__attribute__((destructor)) static void end(void) {
    const char *name = getenv("KILL_COUNT");
    FILE *file = name ? fopen(name, "w") : NULL;
    if (!file) return;
    fprintf(file, "%ld\n", atomic_load(&calls));
    fclose(file);
}

/* Whether the process is to die now. */
static int due(void) { return atomic_fetch_add(&calls, 1) + 1 == kill_at; }

#define NEXT(name) __typeof__(&name) next = (__typeof__(&name))dlsym(RTLD_NEXT, #name)
#define CALL(type, name, params, args) \
    type name params { NEXT(name); if (due()) die(); return next args; }

CALL(int, unlink, (const char *p), (p))
CALL(int, unlinkat, (int d, const char *p, int f), (d, p, f))
CALL(int, rmdir, (const char *p), (p))
CALL(int, rename, (const char *a, const char *b), (a, b))
CALL(int, renameat, (int x, const char *a, int y, const char *b), (x, a, y, b))
CALL(int, mkdir, (const char *p, mode_t m), (p, m))
CALL(int, link, (const char *a, const char *b), (a, b))
CALL(int, linkat, (int x, const char *a, int y, const char *b, int f), (x, a, y, b, f))
CALL(int, symlink, (const char *a, const char *b), (a, b))
CALL(int, chmod, (const char *p, mode_t m), (p, m))
CALL(int, fchmod, (int d, mode_t m), (d, m))
CALL(int, ftruncate64, (int d, off64_t l), (d, l))
CALL(int, fsync, (int d), (d))
CALL(int, fdatasync, (int d), (d))
CALL(int, posix_spawnp, (pid_t *p, const char *f, const posix_spawn_file_actions_t *a,
    const posix_spawnattr_t *t, char *const v[], char *const e[]), (p, f, a, t, v, e))
CALL(pid_t, fork, (void), ())

ssize_t write(int fd, const void *bytes, size_t length) {
    NEXT(write);
    if (due()) {
        if (length > 1) next(fd, bytes, length / 2);
        die();
    }
    return next(fd, bytes, length);
}

int open64(const char *path, int flags, ...) {
    NEXT(open64);
    va_list rest;
    va_start(rest, flags);
    mode_t mode = va_arg(rest, mode_t);
    va_end(rest);
    if ((flags & (O_CREAT | O_TRUNC)) && due()) die();
    return next(path, flags, mode);
}
