/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

#include "lodge-fail.h"
#include "lodge-recipe.h"

G_BEGIN_DECLS

typedef struct
{
  const LodgeRecipe *recipe;
  bool is_vm;
  const char *variant;   /* nullable: of the recipe */
  const char *machine;   /* dpkg's name */
  const char *mirror;    /* nullable */
  const char *early_dir; /* nullable: a tree that is there before packages are configured */
  const char *target;    /* an absent directory */
  double progress_end;   /* fraction at which this part of the work is done */
} LodgeBootstrap;

/**
 * lodge_bootstrap_run:
 *
 * Installs a minimal system into @bootstrap->target by mmdebstrap.  Runs in the sandbox, as its
 * root; reports progress.  Errors: Download, VerificationFailed, NoSpace, HelperFailed.
 */
bool lodge_bootstrap_run (const LodgeBootstrap *bootstrap, LodgeFail *fail);

G_END_DECLS
