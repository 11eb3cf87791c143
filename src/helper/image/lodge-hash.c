/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "lodge-hash.h"

#include <errno.h>
#include <fcntl.h>
#include <nettle/sha2.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <unistd.h>

#include "lodge-sandbox.h"

#define BLOCK_SIZE (256 * 1024)

static bool
add_file (struct sha256_ctx *context, int fd, unsigned char *block)
{
  off_t offset = 0;
  ssize_t n;
  while ((n = pread (fd, block, BLOCK_SIZE, offset)) > 0)
    {
      sha256_update (context, (size_t) n, block);
      offset += n;
    }
  return n == 0;
}

/** Reads bytes and nothing into them; still, it needs no rights for that. */
G_NORETURN static void
run_child (const int *fds, int n_fds, int output_fd)
{
  unsigned char digest[SHA256_DIGEST_SIZE], *block = malloc (BLOCK_SIZE);
  struct sha256_ctx context;
  bool ok
      = block != NULL
        && setresgid (LODGE_SANDBOX_IDMAP_BASE, LODGE_SANDBOX_IDMAP_BASE, LODGE_SANDBOX_IDMAP_BASE)
               == 0
        && setresuid (LODGE_SANDBOX_IDMAP_BASE, LODGE_SANDBOX_IDMAP_BASE, LODGE_SANDBOX_IDMAP_BASE)
               == 0;

  prctl (PR_SET_PDEATHSIG, SIGKILL);
  sha256_init (&context);
  for (int i = 0; ok && i < n_fds; i++)
    ok = add_file (&context, fds[i], block);
  sha256_digest (&context, sizeof digest, digest);
  _exit (ok && write (output_fd, digest, sizeof digest) == sizeof digest ? 0 : 1);
}

bool
lodge_hash_start (const int *fds, int n_fds, LodgeHash *out_hash, LodgeFail *fail)
{
  int ends[2];

  if (pipe2 (ends, O_CLOEXEC) < 0)
    return lodge_fail_errno (fail, errno, "The checksum cannot be made");
  pid_t pid = fork ();
  if (pid == 0)
    run_child (fds, n_fds, ends[1]);
  close (ends[1]);
  if (pid < 0)
    {
      close (ends[0]);
      return lodge_fail_errno (fail, errno, "The checksum cannot be made");
    }
  out_hash->pid = pid;
  out_hash->fd = ends[0];
  return true;
}

bool
lodge_hash_finish (LodgeHash *hash, char out_fingerprint[LODGE_FINGERPRINT_SIZE], LodgeFail *fail)
{
  unsigned char digest[SHA256_DIGEST_SIZE];
  ssize_t n = 0;

  if (hash->pid <= 0)
    return false;
  if (fail == NULL)
    kill (hash->pid, SIGKILL);
  else
    while ((n = read (hash->fd, digest, sizeof digest)) < 0 && errno == EINTR)
      ;
  close (hash->fd);
  while (waitpid (hash->pid, NULL, 0) < 0 && errno == EINTR)
    ;
  hash->pid = 0;
  if (fail == NULL)
    return false;
  if (n != sizeof digest)
    return lodge_fail (fail, "HelperFailed", "The image cannot be read to its end");
  for (size_t i = 0; i < sizeof digest; i++)
    g_snprintf (out_fingerprint + 2 * i, 3, "%02x", digest[i]);
  return true;
}
