/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

#include "lodge-request.h"

/**
 * lodge_seed_run:
 *
 * op=seed: puts into an instance that does not run what makes it itself.
 *
 *   plan=<file>       a container: its root is written to, with its own ids; or
 *   fd.output=        a VM: where to write a disk for cloud-init
 *   name= uuid= architecture=
 *   triggers=         create, copy, start, rename, with commas: which templates are used
 *   metadata=<dir>    optional: has metadata.yaml and templates/ of the image
 *   cloud-init=1      whether to write what cloud-init's NoCloud reads
 *   config=<key>=<value>…
 *   ssh-key=<line>… password-hash=<crypt(5)> script=<text>
 *                     optional: how its owner gets into it; a container's root is changed at once
 *                     (the script runs in it, without a network), a VM's cloud-init does it
 *
 * All of it is done in a sandbox.  Returns: the exit status.
 */
int lodge_seed_run (const LodgeRequest *request);
