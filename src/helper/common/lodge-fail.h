/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

#include <stdbool.h>

/**
 * LodgeFail:
 *
 * The error of a helper: the last part of a name of org.lodge1.Error.*, and one sentence.  A
 * fallible function takes one as its last parameter, fills it, and returns false or -1.
 */
typedef struct
{
  const char *nick; /* static string; NULL: nothing has failed */
  char text[512];
} LodgeFail;

/** Fills @fail.  Returns false always, so that `return lodge_fail (…)` reads well. */
bool lodge_fail (LodgeFail *fail, const char *nick, const char *format, ...)
    __attribute__ ((format (printf, 3, 4)));

/** Fills @fail with "<format>: <strerror>" and the nick that fits @error (an errno value, of
 * either sign).  Returns false always. */
bool lodge_fail_errno (LodgeFail *fail, int error, const char *format, ...)
    __attribute__ ((format (printf, 3, 4)));

/** The nick that fits an errno value of either sign.  Static. */
const char *lodge_fail_nick_of_errno (int error);
