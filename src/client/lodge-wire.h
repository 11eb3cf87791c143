/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

#include <glib.h>

G_BEGIN_DECLS

/*
 * The D-Bus marshalling of single values.  Internal to lodge-message.c and its test.
 * Any thread; no function keeps a reference to what it is given.
 */

/* Containers within containers; the specification allows 32 arrays and 32 structs. */
#define LODGE_WIRE_MAX_DEPTH 64
#define LODGE_WIRE_MAX_ARRAY (64u * 1024 * 1024)

typedef struct
{
  GByteArray *bytes; /* begins at an offset that is a multiple of 8; little endian */
} LodgeWireWriter;

void lodge_wire_align (LodgeWireWriter *writer, gsize alignment);
void lodge_wire_put_byte (LodgeWireWriter *writer, guint8 value);
void lodge_wire_put_uint32 (LodgeWireWriter *writer, guint32 value);
void lodge_wire_put_string (LodgeWireWriter *writer, const char *text);
void lodge_wire_put_signature (LodgeWireWriter *writer, const char *signature);

/** Returns: where the length of the array is, for lodge_wire_end_array(). */
gsize lodge_wire_begin_array (LodgeWireWriter *writer, gsize alignment);
void lodge_wire_end_array (LodgeWireWriter *writer, gsize start, gsize alignment);

/** Any D-Bus type; GVariant's maybe type is a programming error. */
void lodge_wire_put_value (LodgeWireWriter *writer, GVariant *value);

typedef struct
{
  const guint8 *data;
  gsize size;
  gsize offset;
  gboolean swap;   /* the bytes are of the other order */
  gboolean failed; /* sticky: all later reads fail */
  guint depth;
} LodgeWireReader;

/** Padding must be zero and inside the data, or the reader fails. */
void lodge_wire_skip_padding (LodgeWireReader *reader, gsize alignment);

/** Returns: (transfer full): a value of the single complete type @signature, NULL on failure. */
GVariant *lodge_wire_get_value (LodgeWireReader *reader, const char *signature);

/** As above for a message body: @tuple is its signature in parentheses; may be "()". */
GVariant *lodge_wire_get_body (LodgeWireReader *reader, const char *tuple);

G_END_DECLS
