/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

#include <glib.h>
#include <stdbool.h>
#include <stdint.h>

#include "lodge-fail.h"

G_BEGIN_DECLS

#define LODGE_FINGERPRINT_SIZE 65

typedef void (*LodgeFingerprintProgress) (double fraction, gpointer user_data);

/**
 * lodge_fingerprint_tree:
 * @metadata: the contents of metadata.yaml
 * @expected_bytes: about how much it is, for progress; 0: not known
 * @out_bytes: (out): on disk
 *
 * The SHA-256 of the unified tar stream of a root file system: metadata.yaml, then rootfs/ in
 * the order of names, with times of zero, so that the same tree has the same fingerprint.
 */
bool lodge_fingerprint_tree (const char *rootfs, const char *metadata, uint64_t expected_bytes,
                             LodgeFingerprintProgress progress, gpointer user_data,
                             char out_fingerprint[LODGE_FINGERPRINT_SIZE], uint64_t *out_bytes,
                             LodgeFail *fail);

/** The SHA-256 of a file's bytes, and how much of the disk it takes. */
bool lodge_fingerprint_file (int fd, LodgeFingerprintProgress progress, gpointer user_data,
                             char out_fingerprint[LODGE_FINGERPRINT_SIZE], uint64_t *out_bytes,
                             LodgeFail *fail);

G_END_DECLS
