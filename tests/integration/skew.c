/* A clock that is ahead by SKEW_MS milliseconds for whoever preloads this: real time only, as on another machine. */
#define _GNU_SOURCE
#include <stdlib.h>
#include <sys/syscall.h>
#include <sys/time.h>
#include <time.h>
#include <unistd.h>
static long long ahead(void) { const char *ms = getenv("SKEW_MS"); return ms ? atoll(ms) * 1000000LL : 0; }
int clock_gettime(clockid_t id, struct timespec *at) {
  int done = syscall(SYS_clock_gettime, id, at);
  if (!done && (id == CLOCK_REALTIME || id == CLOCK_REALTIME_COARSE)) {
    long long ns = at->tv_sec * 1000000000LL + at->tv_nsec + ahead();
    at->tv_sec = ns / 1000000000LL; at->tv_nsec = ns % 1000000000LL;
  }
  return done;
}
int gettimeofday(struct timeval *at, void *zone) {
  struct timespec now; (void)zone;
  clock_gettime(CLOCK_REALTIME, &now);
  at->tv_sec = now.tv_sec; at->tv_usec = now.tv_nsec / 1000;
  return 0;
}
time_t time(time_t *at) { struct timespec now; clock_gettime(CLOCK_REALTIME, &now); if (at) *at = now.tv_sec; return now.tv_sec; }
