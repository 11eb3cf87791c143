/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "lodge-wire.h"

#include <string.h>

static gsize
type_alignment (char type)
{
  switch (type)
    {
    case 'y':
    case 'g':
    case 'v':
      return 1;
    case 'n':
    case 'q':
      return 2;
    case 'x':
    case 't':
    case 'd':
    case '(':
    case '{':
      return 8;
    default:
      return 4;
    }
}

void
lodge_wire_align (LodgeWireWriter *writer, gsize alignment)
{
  static const guint8 zeros[8] = { 0 };

  g_byte_array_append (writer->bytes, zeros, -writer->bytes->len & (alignment - 1));
}

void
lodge_wire_put_byte (LodgeWireWriter *writer, guint8 value)
{
  g_byte_array_append (writer->bytes, &value, 1);
}

static void
put_uint16 (LodgeWireWriter *writer, guint16 value)
{
  value = GUINT16_TO_LE (value);
  lodge_wire_align (writer, 2);
  g_byte_array_append (writer->bytes, (const guint8 *) &value, sizeof value);
}

void
lodge_wire_put_uint32 (LodgeWireWriter *writer, guint32 value)
{
  value = GUINT32_TO_LE (value);
  lodge_wire_align (writer, 4);
  g_byte_array_append (writer->bytes, (const guint8 *) &value, sizeof value);
}

static void
put_uint64 (LodgeWireWriter *writer, guint64 value)
{
  value = GUINT64_TO_LE (value);
  lodge_wire_align (writer, 8);
  g_byte_array_append (writer->bytes, (const guint8 *) &value, sizeof value);
}

void
lodge_wire_put_string (LodgeWireWriter *writer, const char *text)
{
  gsize length = strlen (text);

  lodge_wire_put_uint32 (writer, (guint32) length);
  g_byte_array_append (writer->bytes, (const guint8 *) text, (guint) length + 1);
}

void
lodge_wire_put_signature (LodgeWireWriter *writer, const char *signature)
{
  gsize length = strlen (signature);

  g_return_if_fail (length <= 255);
  lodge_wire_put_byte (writer, (guint8) length);
  g_byte_array_append (writer->bytes, (const guint8 *) signature, (guint) length + 1);
}

gsize
lodge_wire_begin_array (LodgeWireWriter *writer, gsize alignment)
{
  lodge_wire_put_uint32 (writer, 0);
  gsize start = writer->bytes->len - 4;
  lodge_wire_align (writer, alignment);
  return start;
}

void
lodge_wire_end_array (LodgeWireWriter *writer, gsize start, gsize alignment)
{
  gsize first = (start + 4 + alignment - 1) & ~(alignment - 1);
  guint32 length = GUINT32_TO_LE ((guint32) (writer->bytes->len - first));

  memcpy (writer->bytes->data + start, &length, sizeof length);
}

static guint64
double_bits (double value)
{
  guint64 bits;

  memcpy (&bits, &value, sizeof bits);
  return bits;
}

static void
put_children (LodgeWireWriter *writer, GVariant *value)
{
  gsize n = g_variant_n_children (value);

  for (gsize i = 0; i < n; i++)
    {
      g_autoptr (GVariant) child = g_variant_get_child_value (value, i);
      lodge_wire_put_value (writer, child);
    }
}

static void
put_container (LodgeWireWriter *writer, GVariant *value)
{
  const char *type = g_variant_get_type_string (value);

  if (type[0] == 'a')
    {
      gsize start = lodge_wire_begin_array (writer, type_alignment (type[1]));
      put_children (writer, value);
      lodge_wire_end_array (writer, start, type_alignment (type[1]));
      return;
    }
  if (type[0] == 'v')
    {
      g_autoptr (GVariant) inner = g_variant_get_variant (value);
      lodge_wire_put_signature (writer, g_variant_get_type_string (inner));
      lodge_wire_put_value (writer, inner);
      return;
    }
  lodge_wire_align (writer, 8);
  put_children (writer, value);
}

void
lodge_wire_put_value (LodgeWireWriter *writer, GVariant *value)
{
  switch (g_variant_classify (value))
    {
    case G_VARIANT_CLASS_BOOLEAN:
      lodge_wire_put_uint32 (writer, g_variant_get_boolean (value) ? 1 : 0);
      break;
    case G_VARIANT_CLASS_BYTE:
      lodge_wire_put_byte (writer, g_variant_get_byte (value));
      break;
    case G_VARIANT_CLASS_INT16:
      put_uint16 (writer, (guint16) g_variant_get_int16 (value));
      break;
    case G_VARIANT_CLASS_UINT16:
      put_uint16 (writer, g_variant_get_uint16 (value));
      break;
    case G_VARIANT_CLASS_INT32:
      lodge_wire_put_uint32 (writer, (guint32) g_variant_get_int32 (value));
      break;
    case G_VARIANT_CLASS_UINT32:
      lodge_wire_put_uint32 (writer, g_variant_get_uint32 (value));
      break;
    case G_VARIANT_CLASS_HANDLE:
      lodge_wire_put_uint32 (writer, (guint32) g_variant_get_handle (value));
      break;
    case G_VARIANT_CLASS_INT64:
      put_uint64 (writer, (guint64) g_variant_get_int64 (value));
      break;
    case G_VARIANT_CLASS_UINT64:
      put_uint64 (writer, g_variant_get_uint64 (value));
      break;
    case G_VARIANT_CLASS_DOUBLE:
      put_uint64 (writer, double_bits (g_variant_get_double (value)));
      break;
    case G_VARIANT_CLASS_STRING:
    case G_VARIANT_CLASS_OBJECT_PATH:
      lodge_wire_put_string (writer, g_variant_get_string (value, NULL));
      break;
    case G_VARIANT_CLASS_SIGNATURE:
      lodge_wire_put_signature (writer, g_variant_get_string (value, NULL));
      break;
    case G_VARIANT_CLASS_VARIANT:
    case G_VARIANT_CLASS_ARRAY:
    case G_VARIANT_CLASS_TUPLE:
    case G_VARIANT_CLASS_DICT_ENTRY:
      put_container (writer, value);
      break;
    case G_VARIANT_CLASS_MAYBE:
    default:
      g_return_if_reached ();
    }
}

/* Reading.  NULL and a sticky flag, because whoever calls can only drop the connection. */

static gpointer
fail (LodgeWireReader *reader)
{
  reader->failed = TRUE;
  return NULL;
}

/* The next @size bytes at their alignment, or NULL. */
static const guint8 *
take (LodgeWireReader *reader, gsize size, gsize alignment)
{
  lodge_wire_skip_padding (reader, alignment);
  if (reader->failed || size > reader->size - reader->offset)
    return fail (reader);
  const guint8 *data = reader->data + reader->offset;
  reader->offset += size;
  return data;
}

void
lodge_wire_skip_padding (LodgeWireReader *reader, gsize alignment)
{
  gsize padding = -reader->offset & (alignment - 1);

  if (reader->failed || padding > reader->size - reader->offset)
    {
      reader->failed = TRUE;
      return;
    }
  for (gsize i = 0; i < padding; i++)
    if (reader->data[reader->offset++] != 0)
      reader->failed = TRUE;
}

static guint16
get_uint16 (LodgeWireReader *reader)
{
  const guint8 *data = take (reader, 2, 2);
  guint16 value = 0;

  if (data != NULL)
    memcpy (&value, data, sizeof value);
  return reader->swap ? GUINT16_SWAP_LE_BE (value) : value;
}

static guint32
get_uint32 (LodgeWireReader *reader)
{
  const guint8 *data = take (reader, 4, 4);
  guint32 value = 0;

  if (data != NULL)
    memcpy (&value, data, sizeof value);
  return reader->swap ? GUINT32_SWAP_LE_BE (value) : value;
}

static guint64
get_uint64 (LodgeWireReader *reader)
{
  const guint8 *data = take (reader, 8, 8);
  guint64 value = 0;

  if (data != NULL)
    memcpy (&value, data, sizeof value);
  return reader->swap ? GUINT64_SWAP_LE_BE (value) : value;
}

/* Text of @length bytes with a NUL after it and none within; borrowed. */
static const char *
get_text (LodgeWireReader *reader, gsize length)
{
  const guint8 *data;

  if (length >= reader->size)
    return fail (reader);
  data = take (reader, length + 1, 1);
  if (data == NULL || data[length] != '\0'
      || !g_utf8_validate ((const char *) data, (gssize) length, NULL))
    return fail (reader);
  return (const char *) data;
}

static GVariant *
get_string (LodgeWireReader *reader, char type)
{
  gsize length = get_uint32 (reader);
  const char *text = get_text (reader, length);

  if (text == NULL || (type == 'o' && !g_variant_is_object_path (text)))
    return fail (reader);
  return type == 'o' ? g_variant_new_object_path (text) : g_variant_new_string (text);
}

static const char *
get_signature (LodgeWireReader *reader)
{
  const guint8 *length = take (reader, 1, 1);
  const char *text = length != NULL ? get_text (reader, *length) : NULL;

  return text != NULL && g_variant_is_signature (text) ? text : fail (reader);
}

static GVariant *
get_basic (LodgeWireReader *reader, char type)
{
  guint64 bits;
  guint32 word;
  double number;
  const char *text;
  const guint8 *byte;

  switch (type)
    {
    case 'y':
      byte = take (reader, 1, 1);
      return byte != NULL ? g_variant_new_byte (*byte) : NULL;
    case 'b':
      word = get_uint32 (reader);
      return word <= 1 ? g_variant_new_boolean (word == 1) : fail (reader);
    case 'n':
      return g_variant_new_int16 ((gint16) get_uint16 (reader));
    case 'q':
      return g_variant_new_uint16 (get_uint16 (reader));
    case 'i':
      return g_variant_new_int32 ((gint32) get_uint32 (reader));
    case 'u':
      return g_variant_new_uint32 (get_uint32 (reader));
    case 'h':
      return g_variant_new_handle ((gint32) get_uint32 (reader));
    case 'x':
      return g_variant_new_int64 ((gint64) get_uint64 (reader));
    case 't':
      return g_variant_new_uint64 (get_uint64 (reader));
    case 'd':
      bits = get_uint64 (reader);
      memcpy (&number, &bits, sizeof number);
      return g_variant_new_double (number);
    case 's':
    case 'o':
      return get_string (reader, type);
    case 'g':
      text = get_signature (reader);
      return text != NULL ? g_variant_new_signature (text) : NULL;
    default:
      return fail (reader);
    }
}

static GVariant *get_any (LodgeWireReader *reader, const GVariantType *type);

static GVariant *
get_variant (LodgeWireReader *reader)
{
  const char *signature = get_signature (reader);

  if (signature == NULL || !g_variant_type_string_is_valid (signature)
      || !g_variant_type_is_definite (G_VARIANT_TYPE (signature)))
    return fail (reader);
  g_autoptr (GVariant) inner = get_any (reader, G_VARIANT_TYPE (signature));
  return inner != NULL ? g_variant_new_variant (inner) : NULL;
}

static GVariant *
get_array (LodgeWireReader *reader, const GVariantType *type)
{
  const GVariantType *element = g_variant_type_element (type);
  g_autoptr (GPtrArray) items = g_ptr_array_new_with_free_func ((GDestroyNotify) g_variant_unref);
  gsize length = get_uint32 (reader);

  lodge_wire_skip_padding (reader, type_alignment (g_variant_type_peek_string (element)[0]));
  if (reader->failed || length > LODGE_WIRE_MAX_ARRAY || length > reader->size - reader->offset)
    return fail (reader);
  gsize end = reader->offset + length;
  while (reader->offset < end)
    {
      GVariant *item = get_any (reader, element);
      if (item == NULL || reader->offset > end)
        {
          g_clear_pointer (&item, g_variant_unref);
          return fail (reader);
        }
      g_ptr_array_add (items, item);
    }
  return g_variant_new_array (element, (GVariant *const *) items->pdata, items->len);
}

/* The members of a tuple or of a dictionary entry, each owned. */
static GPtrArray *
get_members (LodgeWireReader *reader, const GVariantType *type)
{
  g_autoptr (GPtrArray) items = g_ptr_array_new_with_free_func ((GDestroyNotify) g_variant_unref);

  for (const GVariantType *member = g_variant_type_first (type); member != NULL;
       member = g_variant_type_next (member))
    {
      GVariant *item = get_any (reader, member);
      if (item == NULL)
        return NULL;
      g_ptr_array_add (items, item);
    }
  return g_steal_pointer (&items);
}

static GVariant *
get_container (LodgeWireReader *reader, const GVariantType *type)
{
  if (g_variant_type_is_variant (type))
    return get_variant (reader);
  if (g_variant_type_is_array (type))
    return get_array (reader, type);

  lodge_wire_skip_padding (reader, 8);
  g_autoptr (GPtrArray) items = get_members (reader, type);
  if (items == NULL)
    return NULL;
  /* D-Bus has no empty struct; an array of them would never end. */
  if (items->len == 0)
    return fail (reader);
  if (g_variant_type_is_dict_entry (type))
    return g_variant_new_dict_entry (items->pdata[0], items->pdata[1]);
  return g_variant_new_tuple ((GVariant *const *) items->pdata, items->len);
}

/* Returns a full, non-floating reference. */
static GVariant *
get_any (LodgeWireReader *reader, const GVariantType *type)
{
  GVariant *value;

  if (reader->failed || reader->depth >= LODGE_WIRE_MAX_DEPTH)
    return fail (reader);
  reader->depth++;
  if (g_variant_type_is_container (type))
    value = get_container (reader, type);
  else
    value = get_basic (reader, g_variant_type_peek_string (type)[0]);
  reader->depth--;
  if (value != NULL)
    g_variant_ref_sink (value);
  if (reader->failed)
    g_clear_pointer (&value, g_variant_unref);
  return value;
}

GVariant *
lodge_wire_get_value (LodgeWireReader *reader, const char *signature)
{
  return get_any (reader, G_VARIANT_TYPE (signature));
}

GVariant *
lodge_wire_get_body (LodgeWireReader *reader, const char *tuple)
{
  if (!g_variant_type_string_is_valid (tuple)
      || !g_variant_type_is_definite (G_VARIANT_TYPE (tuple)) || strpbrk (tuple, "m") != NULL)
    return fail (reader);
  g_autoptr (GPtrArray) items = get_members (reader, G_VARIANT_TYPE (tuple));
  if (items == NULL)
    return NULL;
  return g_variant_ref_sink (g_variant_new_tuple ((GVariant *const *) items->pdata, items->len));
}
