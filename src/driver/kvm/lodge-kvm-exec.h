/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

#include "lodge-kvm-session.h"

G_BEGIN_DECLS

/** Runs a program with separate stdin, stdout and stderr.  On the session's thread. */
void lodge_kvm_exec_run (LodgeKvmSession *session);

/** Runs a program on a terminal.  On the session's thread. */
void lodge_kvm_shell_run (LodgeKvmSession *session);

G_END_DECLS
