// A resolver that is preloaded in front of the system's: it answers for the names of a file, and notes who asks.
//
// A line of $TEST_NAMES is `name address`. The address `-` is a failure, and `?` makes the lookup wait until the file names
// another one. `address,address` is both, in that order. The name `threads` with the address `-` has the system refuse every
// further thread. What is asked for and answered goes to $TEST_LOOKUPS, a line each: `+ name`, `- name`; and `! listen` for
// each socket that is told to listen.
#define _GNU_SOURCE
#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <netdb.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

typedef int lookup(const char *, const char *, const struct addrinfo *, struct addrinfo **);

// The last line of a name counts. 0 if there is none.
static int find(const char *name, char *address) {
  char known[256], line_address[256];
  int found = 0;
  const char *path = getenv("TEST_NAMES");
  FILE *file = path ? fopen(path, "r") : NULL;
  if (file == NULL) return 0;
  while (fscanf(file, "%255s %255s", known, line_address) == 2) {
    if (strcmp(known, name) != 0) continue;
    strcpy(address, line_address);
    found = 1;
  }
  fclose(file);
  return found;
}

static void note(char what, const char *name) {
  char line[300];
  int length = snprintf(line, sizeof line, "%c %s\n", what, name);
  int file = open(getenv("TEST_LOOKUPS"), O_WRONLY | O_APPEND | O_CREAT, 0600);
  if (write(file, line, length) != length) abort();
  close(file);
}

int getaddrinfo(const char *node, const char *service, const struct addrinfo *hints, struct addrinfo **result) {
  lookup *next = (lookup *)dlsym(RTLD_NEXT, "getaddrinfo");
  char address[256];
  if (node == NULL || !find(node, address)) return next(node, service, hints, result);
  note('+', node);
  while (strcmp(address, "?") == 0) {
    usleep(1000);
    find(node, address);
  }
  note('-', node);
  if (strcmp(address, "-") == 0) return EAI_AGAIN;
  struct addrinfo **end = result;
  char *rest = NULL;
  for (char *part = strtok_r(address, ",", &rest); part != NULL; part = strtok_r(NULL, ",", &rest)) {
    int failure = next(part, service, hints, end);
    if (failure != 0) return failure;
    while (*end != NULL) end = &(*end)->ai_next;
  }
  return 0;
}

int pthread_create(pthread_t *thread, const pthread_attr_t *attributes, void *(*run)(void *), void *argument) {
  int (*next)(pthread_t *, const pthread_attr_t *, void *(*)(void *), void *) = dlsym(RTLD_NEXT, "pthread_create");
  char address[256];
  if (find("threads", address) && strcmp(address, "-") == 0) return EAGAIN;
  return next(thread, attributes, run, argument);
}

int listen(int socket, int backlog) {
  int (*next)(int, int) = dlsym(RTLD_NEXT, "listen");
  note('!', "listen");
  return next(socket, backlog);
}
