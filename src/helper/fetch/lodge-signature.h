/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

#include <glib.h>
#include <stdbool.h>

#include "lodge-fail.h"

G_BEGIN_DECLS

/**
 * lodge_signature_open:
 * @keyring_fd: OpenPGP keys, armoured or not
 * @out_text: (transfer full): what has been signed, and nothing else that the document has
 *
 * Verifies a clear-signed document by gpgv.  Writes into /tmp, so it belongs into a sandbox.
 * VerificationFailed when there is no good signature by one of the keys.
 */
bool lodge_signature_open (int keyring_fd, const char *document, gsize size, char **out_text,
                           gsize *out_size, LodgeFail *fail);

G_END_DECLS
