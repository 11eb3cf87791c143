/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/**
 * lodge_seccomp_install:
 *
 * Makes this process and its children unable to load kernels and modules, and to open files by
 * handle, also through the numbers of the other ABIs of this machine: EPERM.  Needs
 * CAP_SYS_ADMIN in the user namespace.  Both init and what is executed in a container get it.
 *
 * Returns: 0 or a negative errno value.
 */
int lodge_seccomp_install (void);
