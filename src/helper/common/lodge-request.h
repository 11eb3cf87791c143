/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

#include "lodge-fail.h"

#include <stddef.h>

/**
 * LodgeRequest:
 *
 * The records of a helper's request.  The strings lie in a read-only mapping of the sealed memfd
 * and stay valid until the process ends.
 */
typedef struct
{
  const char *data;
  size_t size;
} LodgeRequest;

/**
 * lodge_request_read:
 * @fd: LODGE_HELPER_REQUEST_FD, a memfd that is sealed against writing and shrinking
 *
 * Maps the request and closes @fd.
 */
bool lodge_request_read (LodgeRequest *out_request, int fd, LodgeFail *fail);

/** The value of the first record of @key, or NULL.  Borrowed. */
const char *lodge_request_get (const LodgeRequest *request, const char *key);

/** The value of the next record of @key after @previous (NULL: the first), or NULL.  Borrowed. */
const char *lodge_request_next (const LodgeRequest *request, const char *key, const char *previous);

/** How many records @key has. */
size_t lodge_request_count (const LodgeRequest *request, const char *key);

/**
 * lodge_request_get_number:
 *
 * Reads @key as a decimal number of [@min, @max] into @out_value.  Returns false when it is
 * absent or not such a number; @fail (may be NULL) then names the key.
 */
bool lodge_request_get_number (const LodgeRequest *request, const char *key, long long min,
                               long long max, long long *out_value, LodgeFail *fail);

/** The descriptor "fd.<name>" (>= LODGE_HELPER_FIRST_FD), or -1 when there is none. */
int lodge_request_get_fd (const LodgeRequest *request, const char *name);

/** Sets the resource limits that the request has ("limit.as", "limit.cpu", …) on this process. */
bool lodge_request_apply_limits (const LodgeRequest *request, LodgeFail *fail);
