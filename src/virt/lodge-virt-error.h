/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

#include <glib.h>

#include "lodge/lodge-error.h"

G_BEGIN_DECLS

/**
 * lodge_virt_error_init:
 *
 * Stops libvirt from writing its errors to stderr.  Called by lodge_virt_connection_new().
 */
void lodge_virt_error_init (void);

/**
 * lodge_virt_set_error:
 * @format: what could not be done, for example "cannot start 'web'"
 *
 * Sets @error from libvirt's last error as "<format>: <libvirt's sentence>" with the code that
 * fits.  libvirt keeps the last error per thread and every call resets it, even
 * virDomainGetName(): call this on the thread of the failed call, right after it, and ask for
 * what the message names before the call.
 */
void lodge_virt_set_error (GError **error, const char *format, ...) G_GNUC_PRINTF (2, 3);

/**
 * lodge_virt_error_is:
 * @code: a virErrorNumber
 *
 * Returns: whether the thread's last libvirt error has this code.
 */
gboolean lodge_virt_error_is (int code);

/** The code of LODGE_ERROR for a virErrorNumber.  Any thread. */
LodgeErrorCode lodge_virt_error_map (int code);

G_END_DECLS
