/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

#include <stdbool.h>
#include <stddef.h>

#include "lodge-fail.h"

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
  char serial[64];
  char type[32];
  char version[64]; /* of the distribution, in full: "12.5" */
  char hostname[64];
  char init[32];      /* "systemd", "openrc", "sysvinit", "busybox", … */
  char cloud_init[8]; /* "yes" */
  char agent[8];      /* "yes": qemu-guest-agent is installed */
  char firmware[16];  /* VMs: "bios", "uefi" or "bios,uefi" */
  char secureboot[8]; /* "false": it does not boot where that is on */
  char cpus[16];      /* what its description asks for */
  char memory[32];    /* bytes, the same */
  char templates[32]; /* when its templates are used: "create,copy,start,rename" */
  char command[512];  /* OCI: what it runs, as JSON */
  bool has_init;
} LodgeFacts;

/** Reads metadata.yaml: "architecture:" and the known names below "properties:". */
bool lodge_facts_take_metadata (LodgeFacts *facts, const char *text, size_t size, LodgeFail *fail);

/** Reads os-release(5); what metadata.yaml said wins. */
void lodge_facts_take_os_release (LodgeFacts *facts, const char *text, size_t size);

/** Looks at the first bytes of a program. */
void lodge_facts_take_program (LodgeFacts *facts, const void *data, size_t size);

/**
 * lodge_facts_take_tree:
 *
 * Looks at what is installed in the root file system that is the working directory.  Follows no
 * link out of it, and reads small regular files only.
 */
void lodge_facts_take_tree (LodgeFacts *facts);

/** Copies a value of one line, without what a terminal would act on; nothing where there is one. */
void lodge_facts_set (char *field, size_t size, const char *value, size_t length);

/** Writes them as result lines. */
void lodge_facts_report (LodgeFacts *facts);
