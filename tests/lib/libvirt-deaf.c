/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * For LD_PRELOAD into libvirtd: it loses the race that a busy machine makes it lose once in some
 * hundred starts of containers, in every start, or in one of LODGE_TEST_DEAF_EVERY.  See
 * lodge_lxc_controller_is_heard().
 */
#define _GNU_SOURCE
#include <dlfcn.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <unistd.h>

/* Long enough for the container's first message. */
#define DELAY_US 150000

int virNetClientAddProgram (void *client, void *program);

int
virNetClientAddProgram (void *client, void *program)
{
  static atomic_int n_calls;
  union
  {
    void *symbol;
    int (*call) (void *client, void *program);
  } real = { .symbol = dlsym (RTLD_NEXT, "virNetClientAddProgram") };
  const char *every = getenv ("LODGE_TEST_DEAF_EVERY");
  int modulus = every != NULL ? atoi (every) : 1;

  if (modulus > 0 && n_calls++ % modulus == 0)
    usleep (DELAY_US);
  return real.call (client, program);
}
