/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

#include <gio/gio.h>

#include "lodge/lodge-error.h"

G_BEGIN_DECLS

/*
 * The one reader of a{sv} arguments.  A method declares its options in a table; one that is not in
 * it, that has another type, or that comes twice, is an error.  Any thread.
 */
typedef struct
{
  const char *name;
  const char *type; /* a signature */
} LodgeBusOption;

/**
 * lodge_bus_options_check:
 * @table: ended by a row without a name; NULL: there are none
 * @what: what an entry is called in messages: "option", "setting"
 *
 * INVALID_ARGUMENT names the entry, and for an unknown one the nearest that exists.
 */
gboolean lodge_bus_options_check (GVariant *options, const LodgeBusOption *table, const char *what,
                                  GError **error) G_GNUC_WARN_UNUSED_RESULT;

/* Values of checked options, or what stands for an absent one.  Strings are borrowed. */
gboolean lodge_bus_options_get_bool (GVariant *options, const char *name);
guint32 lodge_bus_options_get_uint (GVariant *options, const char *name, guint32 fallback);
guint16 lodge_bus_options_get_uint16 (GVariant *options, const char *name, guint16 fallback);
const char *lodge_bus_options_get_string (GVariant *options, const char *name);
/** (transfer container): NULL-ended; NULL when absent. */
const char **lodge_bus_options_get_strings (GVariant *options, const char *name);

/**
 * lodge_bus_options_get_fd:
 * @fds: (nullable): what came with the message
 * @out_fd: borrowed from @fds; -1 when the option is absent
 *
 * INVALID_ARGUMENT when the message does not have the file that the option speaks of.
 */
gboolean lodge_bus_options_get_fd (GVariant *options, const char *name, GUnixFDList *fds,
                                   int *out_fd, GError **error) G_GNUC_WARN_UNUSED_RESULT;

G_END_DECLS
