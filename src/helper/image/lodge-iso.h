/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

#include <stdbool.h>

#include "lodge-facts.h"
#include "lodge-fail.h"

/**
 * lodge_iso_read:
 * @fd: a regular file with an ISO 9660 file system; its position does not matter
 * @facts: gets description (the name of the volume) and firmware (what its boot catalogue is for),
 *   as far as they are known
 *
 * Reads the volume descriptors and, when there is one, the catalogue of El Torito.  They are
 * somebody else's bytes: to be called in the sandbox.  One that does not boot has no firmware then.
 * ImageInvalid: it has no volume descriptor.
 */
bool lodge_iso_read (int fd, LodgeFacts *facts, LodgeFail *fail);
