/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

#include <glib.h>

/* What libFuzzer calls; replay.c calls it for each file of a corpus. */
int LLVMFuzzerTestOneInput (const guint8 *data, gsize size);
