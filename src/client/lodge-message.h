/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

#include <glib.h>

G_BEGIN_DECLS

/*
 * D-Bus messages on GLib alone.
 *
 * The commands that are run most (`exec`, `list`) have a budget of a few milliseconds that includes
 * the start of the process.  Loading libgio and starting the worker thread of GDBus costs more than
 * half of that.  sd-bus was tried in the place of this: it, and the libraries that come with it,
 * take 0.8 ms of CPU time more (2.0 against 1.2 ms for `lodge list`, 0.65 ms of what `exec` takes),
 * libdbus a little more than that.  So the client speaks the wire format itself; values are
 * GVariants, which libglib has.
 */

typedef enum
{
  LODGE_MESSAGE_CALL = 1,
  LODGE_MESSAGE_RETURN = 2,
  LODGE_MESSAGE_ERROR = 3,
  LODGE_MESSAGE_SIGNAL = 4,
} LodgeMessageType;

#define LODGE_MESSAGE_NO_REPLY    (1u << 0)
#define LODGE_MESSAGE_INTERACTIVE (1u << 2) /* polkit may ask the user */

/* More than the 128 MiB of the specification is refused; the service needs far less. */
#define LODGE_MESSAGE_MAX_SIZE (64u * 1024 * 1024)
#define LODGE_MESSAGE_MAX_FDS  16
/* Length of the fixed part, enough to learn the size of the whole. */
#define LODGE_MESSAGE_PREFIX_SIZE 16

typedef struct
{
  LodgeMessageType type;
  guint flags;
  guint32 serial;
  guint32 reply_serial;
  char *path;
  char *interface;
  char *member;
  char *error_name;
  char *destination;
  char *sender;
  GVariant *body;                 /* a tuple, never NULL */
  guint32 n_declared_fds;         /* what the header says */
  int fds[LODGE_MESSAGE_MAX_FDS]; /* owned when received; borrowed in a call */
  guint n_fds;
} LodgeMessage;

/** Closes the descriptors that were not taken.  NULL is fine. */
void lodge_message_free (LodgeMessage *message);
G_DEFINE_AUTOPTR_CLEANUP_FUNC (LodgeMessage, lodge_message_free)

/**
 * lodge_message_encode:
 *
 * Returns: (transfer full): the bytes to send, little endian.  The values come from this program,
 * thus nothing is checked but what GVariant checks.  Any thread.
 */
GByteArray *lodge_message_encode (const LodgeMessage *message);

/**
 * lodge_message_size:
 * @prefix: the first LODGE_MESSAGE_PREFIX_SIZE bytes
 *
 * Returns: the size of the whole message, or 0 with @error set (FAILED) when it is none.
 */
gsize lodge_message_size (const guint8 *prefix, GError **error);

/**
 * lodge_message_decode:
 * @size: exactly what lodge_message_size() said
 *
 * Checks everything that the specification asks for; never reads outside of @data.  Descriptors
 * are attached by the caller.  Errors: FAILED.  Any thread.
 */
LodgeMessage *lodge_message_decode (const guint8 *data, gsize size,
                                    GError **error) G_GNUC_WARN_UNUSED_RESULT;

/**
 * lodge_message_take_fd:
 * @index: a value of type 'h' of the body
 *
 * Returns: the descriptor, which the caller closes; -1 with @error set when there is none.
 */
int lodge_message_take_fd (LodgeMessage *message, gint32 index, GError **error);

G_END_DECLS
