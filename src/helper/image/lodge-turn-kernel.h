/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

#include <stdbool.h>

#include "lodge-fail.h"
#include "lodge-recipe.h"

/*
 * A kernel for a root file system that has none.  The packages of its own distribution are chosen
 * and fetched by the host's apt, in a sandbox with network in which nothing of the guest runs, and
 * installed by the guest's dpkg, in one without.
 */

/** Below the staging directory: what apt needs besides the tree. */
#define LODGE_TURN_APT "apt"

/**
 * lodge_turn_kernel_find_recipe:
 *
 * Returns: what is known of the distribution in @root, when its packages can be had; else NULL.
 */
const LodgeRecipe *lodge_turn_kernel_find_recipe (const char *root);

/** Fetches what is missing.  @machine: dpkg's name of the architecture. */
bool lodge_turn_kernel_fetch (const LodgeRecipe *recipe, const char *root, const char *work_dir,
                              const char *machine, LodgeFail *fail);

/** Installs what lodge_turn_kernel_fetch() has fetched.  Runs programs of the guest. */
bool lodge_turn_kernel_install (const LodgeRecipe *recipe, const char *root, const char *work_dir,
                                const char *machine, LodgeFail *fail);

/** Takes out packages of kernels and boot loaders, whose files are gone.  Runs programs of the
 * guest; what cannot be taken out stays. */
void lodge_turn_kernel_remove (const char *root);

/**
 * lodge_turn_kernel_copy_host:
 *
 * The host's kernel with its modules, and an initial RAM disk that finds the root.  Needs /boot in
 * the sandbox.  NotSupported: the host has none that would do.
 */
bool lodge_turn_kernel_copy_host (const char *root, LodgeFail *fail);

/** Where lodge_turn_kernel_copy_host() puts them, in the guest. */
#define LODGE_TURN_KERNEL "/boot/vmlinuz-lodge"
#define LODGE_TURN_INITRD "/boot/initrd.img-lodge"
