/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "lodge-seccomp.h"

#include <errno.h>
#include <linux/audit.h>
#include <linux/filter.h>
#include <linux/seccomp.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/syscall.h>
#include <unistd.h>

#define DENIED (SECCOMP_RET_ERRNO | (EPERM & SECCOMP_RET_DATA))

#define LOAD(field)                                                                                \
  BPF_STMT (BPF_LD | BPF_W | BPF_ABS, (uint32_t) offsetof (struct seccomp_data, field))
#define JUMP_IF(value, yes, no) BPF_JUMP (BPF_JMP | BPF_JEQ | BPF_K, (value), (yes), (no))
#define RETURN(action)          BPF_STMT (BPF_RET | BPF_K, (action))
/* Two instructions: deny the number that is loaded when it is @number. */
#define DENY(number) JUMP_IF ((number), 0, 1), RETURN (DENIED)

#define NATIVE_DENIALS                                                                             \
  DENY (SYS_kexec_load), DENY (SYS_kexec_file_load), DENY (SYS_open_by_handle_at),                 \
      DENY (SYS_init_module), DENY (SYS_finit_module), DENY (SYS_delete_module)

/*
 * Each ABI: load the architecture; if it is another one, skip its list; else load the number and
 * look it up.  The numbers of foreign ABIs have no macros here; they are fixed for ever.
 */
#if defined(__x86_64__)
#define X32_BIT 0x40000000u
static const struct sock_filter filter[] = {
  LOAD (arch),
  JUMP_IF (AUDIT_ARCH_X86_64, 0, 2 + 24),
  LOAD (nr),
  NATIVE_DENIALS,
  DENY (X32_BIT | 528), /* kexec_load */
  DENY (X32_BIT | SYS_kexec_file_load),
  DENY (X32_BIT | SYS_open_by_handle_at),
  DENY (X32_BIT | SYS_init_module),
  DENY (X32_BIT | SYS_finit_module),
  DENY (X32_BIT | SYS_delete_module),
  RETURN (SECCOMP_RET_ALLOW),
  JUMP_IF (AUDIT_ARCH_I386, 0, 12),
  LOAD (nr),
  DENY (283), /* kexec_load */
  DENY (342), /* open_by_handle_at */
  DENY (128), /* init_module */
  DENY (350), /* finit_module */
  DENY (129), /* delete_module */
  RETURN (SECCOMP_RET_ALLOW),
  RETURN (SECCOMP_RET_KILL_PROCESS),
};
#elif defined(__aarch64__)
static const struct sock_filter filter[] = {
  LOAD (arch),
  JUMP_IF (AUDIT_ARCH_AARCH64, 0, 2 + 12),
  LOAD (nr),
  NATIVE_DENIALS,
  RETURN (SECCOMP_RET_ALLOW),
  JUMP_IF (AUDIT_ARCH_ARM, 0, 14),
  LOAD (nr),
  DENY (347), /* kexec_load */
  DENY (401), /* kexec_file_load */
  DENY (371), /* open_by_handle_at */
  DENY (128), /* init_module */
  DENY (379), /* finit_module */
  DENY (129), /* delete_module */
  RETURN (SECCOMP_RET_ALLOW),
  RETURN (SECCOMP_RET_KILL_PROCESS),
};
#else
static const struct sock_filter filter[] = {
  LOAD (nr),
  NATIVE_DENIALS,
  RETURN (SECCOMP_RET_ALLOW),
};
#endif

int
lodge_seccomp_install (void)
{
  const struct sock_fprog program = {
    .len = sizeof filter / sizeof *filter,
    .filter = (struct sock_filter *) filter,
  };

  /* Without SPEC_ALLOW old kernels slow everything down that carries a filter. */
  if (syscall (SYS_seccomp, SECCOMP_SET_MODE_FILTER, SECCOMP_FILTER_FLAG_SPEC_ALLOW, &program) < 0)
    return -errno;
  return 0;
}
