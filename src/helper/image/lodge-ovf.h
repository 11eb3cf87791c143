/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

#include <stdbool.h>
#include <stddef.h>

#include "lodge-facts.h"
#include "lodge-fail.h"

#define LODGE_OVF_NAME_SIZE 256
#define LODGE_OVF_MAX       (1024 * 1024)

/**
 * lodge_ovf_parse:
 * @out_disk: the file of the first disk in the order of the machine's controllers
 *
 * Reads the description in an OVA: name, processors, memory, firmware.  Entities, files and the
 * network are out of its reach.  Errors: ImageInvalid.
 */
bool lodge_ovf_parse (const char *text, size_t size, LodgeFacts *facts,
                      char out_disk[LODGE_OVF_NAME_SIZE], LodgeFail *fail);
