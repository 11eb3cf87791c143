/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

#include <stdbool.h>
#include <stddef.h>

/*
 * What a root file system says of itself.  For display only: nothing here decides anything on
 * the host.
 */
typedef struct
{
  char architecture[16]; /* as uname(2) has it; "": not found */
  char description[256];
  char os[64];
  char release[64];
  char variant[64];
  bool has_init;
} LodgeFacts;

/** Reads top-level "architecture:" and the known names below "properties:" of metadata.yaml. */
void lodge_facts_take_metadata (LodgeFacts *facts, const char *text, size_t size);

/** Reads os-release(5); what metadata.yaml said wins. */
void lodge_facts_take_os_release (LodgeFacts *facts, const char *text, size_t size);

/** Looks at the first bytes of a program. */
void lodge_facts_take_program (LodgeFacts *facts, const void *data, size_t size);

/** Writes them as result lines. */
void lodge_facts_report (const LodgeFacts *facts);
